"""The frames of a sequence as PNG, 8 or 16 bits, without loss."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from irdim.dataset import Dataset, Sequence
from irdim_train.exporting.labelled import frame_name


def write_frames(data: Dataset, sequence: Sequence, folder: Path, progress: Callable[[str], None]) -> None:
    """Write `folder`/000000.png and so on, and times.csv (seconds, one a line) where the sequence has times of its own."""
    folder.mkdir(parents=True)
    for index, pixels in enumerate(data.frames(sequence)):
        progress(sequence.name)
        done, png = cv2.imencode(".png", pixels)
        if not done:
            raise ValueError(f"{sequence.name}, frame {index}: {pixels.dtype} {pixels.shape} cannot be written as PNG")
        (folder / f"{frame_name(index)}.png").write_bytes(png.tobytes())
    times = data.times(sequence)
    if sequence.interval or (times != np.arange(len(times))).any():
        (folder / "times.csv").write_text("".join(f"{t!r}\n" for t in times.tolist()))
