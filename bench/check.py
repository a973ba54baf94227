"""How fast irdim-train check reads, and that its memory does not grow with the length of a sequence.

python bench/check.py [--frames 500] [--height 512] [--width 640]

Memory is the peak of the process's own (RssAnon). The frames are mapped files, whose pages the system takes back when it needs them.
"""

import argparse
import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
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
            with own_memory() as peak:
                begun = time.perf_counter()
                check(subjects_of_data(data))
                spent = time.perf_counter() - begun
        what = f"{frames} frames of {options.width}x{options.height}"
        print(f"{what}: {frames / spent:.0f} frames/s, at most {max(peak)} MiB", flush=True)


@contextlib.contextmanager
def own_memory() -> Iterator[list[int]]:
    """MiB of anonymous memory, every 20 ms."""
    seen, done = [0], threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("RssAnon"))
            seen.append(int(line.split()[1]) >> 10)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    main()
