"""How fast irdim-train check reads, and that its memory does not grow with the length of a sequence.

python bench/check.py [--frames 2000] [--height 512] [--width 640]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.sources import Frame
from irdim_train.checking import check, subjects_of_data


def main() -> None:
    """Check one sequence of --frames frames, then one of ten times as many."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("frames", 500), ("height", 512), ("width", 640)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    scene = rng.normal(2000, 10, (64, options.height, options.width)).astype(np.uint16)
    for frames in (options.frames, 10 * options.frames):
        with tempfile.TemporaryDirectory() as folder, Dataset.create(Path(folder) / "data") as data:
            pixels = (Frame(t, t / 25, np.roll(scene[t % 64], t // 64, 0)) for t in range(frames))
            boxes = {t: [Box(100 + t % 300, 100.0, 5.0, 5.0)] for t in range(frames)}
            data.add_sequence("s", pixels, boxes, split="train", group="g", source="b", who="b", interval=0.04)
            begun = time.perf_counter()
            check(subjects_of_data(data))
            spent = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"{frames} frames of {options.width}x{options.height}: {frames / spent:.0f} frames/s, peak so far {peak} MiB"
        )


if __name__ == "__main__":
    main()
