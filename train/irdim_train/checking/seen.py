"""What a check keeps of a sequence."""

from dataclasses import dataclass

import numpy as np

from irdim_train.checking.subjects import Subject

COLUMNS = ("frame", "scr", "box", "spot", "offset_x", "offset_y")


@dataclass(frozen=True)
class Seen:
    """What is kept of a sequence that could be read. targets: (n, len(COLUMNS)); speeds: (n,) px a frame against the background, NaN where unknown."""

    subject: Subject
    frames: int
    boxes: int
    shape: tuple[int, int]
    dtype: str
    targets: np.ndarray
    speeds: np.ndarray
    digests: np.ndarray
    scene: np.ndarray
