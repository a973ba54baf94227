"""Opening a patch file of 100,000 stacks, reading random batches of 256 from it, and the peak memory of that and of a crop.

python bench/patches.py FOLDER [--stacks 100000] [--frames 3000]

FOLDER is made, and takes 5.2 GB for the stacks (80 x 80 x 4, 16 bits) and 2 GB for the sequence (640 x 512) that is cropped. Each part runs in a process
of its own; memory is that process's peak of resident memory, libraries included.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.differencing import InputSpec
from irdim.patches import BOXES, TABLE, Patches
from irdim.sources import Frame

SIZE, BATCH, SECONDS = 80, 256, 10.0


def make_stacks(out: Path, count: int) -> str:
    """A patch file of noise, a box in every other stack."""
    from irdim_train.patch_writer import patch_writer

    rng = np.random.default_rng(0)
    facts = {"frame_step": 1, "register": False, "data": "", "iteration": 0, "seed": 0}
    begun = time.perf_counter()
    with patch_writer(out, size=SIZE, dtype=np.dtype(np.uint16), facts=facts) as writer:
        for start in range(0, count, 1000):
            n = min(1000, count - start)
            rows, boxes = np.zeros(n, TABLE), np.zeros(n // 2, BOXES)
            rows["sigma_difference"] = rows["sigma_frame"] = 10
            boxes["patch"], boxes["w"], boxes["h"] = np.arange(n // 2) * 2, 4, 4
            boxes["x"], boxes["y"] = rng.uniform(0, SIZE, (2, n // 2))
            writer.add(rows, rng.integers(0, 4096, (n, 4, SIZE, SIZE), np.uint16), boxes)
    return f"written, digests included: {count / (time.perf_counter() - begun):,.0f} stacks/s"


def read(out: Path) -> str:
    """All stacks once, so that they are in the page cache; then random batches into one buffer."""
    begun = time.perf_counter()
    patches = Patches.open(out)
    opened = time.perf_counter() - begun
    count, buffer = len(patches.stacks), np.empty((BATCH, *patches.stacks.shape[1:]), patches.stacks.dtype)
    for start in range(0, count - BATCH + 1, BATCH):
        patches.stacks.read(np.arange(start, start + BATCH), buffer)
    rng = np.random.default_rng(0)
    rate = _rate(lambda: patches.stacks.read(np.sort(rng.integers(0, count, BATCH)), buffer))
    return f"{count:,} stacks opened in {opened * 1000:.0f} ms; random batches of {BATCH}: {rate:,.0f} stacks/s"


def train(out: Path) -> str:
    """What training reads: network input and target maps, on the CPU."""
    import torch

    from irdim_train.batches import BatchReader

    spec = InputSpec("difference+frame", 1)
    reader = BatchReader(Patches.open(out), spec, "train", 8, torch.device("cpu"), BATCH)
    rng = np.random.default_rng(0)
    rows = [rng.choice(reader.rows, BATCH, replace=False) for _ in range(50)]
    stacks = _rate(lambda: reader.stacks_of(np.sort(rows[int(rng.integers(50))])))
    whole = _rate(lambda: reader.read(rows[int(rng.integers(50))], rng))
    return f"stacks of a batch, in the order of the file: {stacks:,.0f} stacks/s; network input, augmented, with target maps: {whole:,.0f} stacks/s"


def make_sequence(out: Path, count: int) -> str:
    """A data set of one long sequence, a target in every tenth frame; hard background is drawn in these."""
    rng = np.random.default_rng(0)
    noise = rng.normal(1000, 12, (8, 512, 640)).astype(np.uint16)
    with Dataset.create(out) as data:
        for split, n in (("train", count), ("val", 20)):
            frames = (Frame(t, t / 25, np.roll(noise[t % 8], t, axis=1)) for t in range(n))
            boxes = {t: [Box(320, 256, 5, 5)] for t in range(0, n, 10)}
            data.add_sequence(
                split, frames, boxes, split=split, group=split, source="bench", who="bench", interval=1 / 25
            )
    return f"sequence of {(out / 'frames' / 'train.npy').stat().st_size / 2**30:.1f} GiB made"


def cut(folder: Path) -> str:
    """A crop of it."""
    from irdim_train.crop import crop

    begun = time.perf_counter()
    with Dataset.open(folder / "data") as data:
        result = crop(data, folder / "cut", size=SIZE, frame_step=4, register=False, hard_background=0.5, fresh=True)
    seconds = time.perf_counter() - begun
    return f"cropped: {result['patches']} patches in {seconds:.0f} s"


def _rate(batch: Callable[[], object]) -> float:
    """Stacks a second."""
    batch()
    begun, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - begun) < SECONDS:
        batch()
        count += BATCH
    return count / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stacks", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--part", help="run one part in this process")
    asked = parser.parse_args()
    folder: Path = asked.folder
    parts: dict[str, Callable[[], str]] = {
        "make-stacks": lambda: make_stacks(folder / "stacks", asked.stacks),
        "read": lambda: read(folder / "stacks"),
        "train": lambda: train(folder / "stacks"),
        "make-sequence": lambda: make_sequence(folder / "data", asked.frames),
        "crop": lambda: cut(folder),
    }
    if asked.part:
        line = parts[asked.part]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{line}; peak memory {peak:.0f} MiB", flush=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    for part in parts:
        if not (part == "make-stacks" and (folder / "stacks").exists()) and not (
            part == "make-sequence" and (folder / "data").exists()
        ):
            command = [sys.executable, __file__, str(folder), "--part", part]
            subprocess.run([*command, "--stacks", str(asked.stacks), "--frames", str(asked.frames)], check=True)


if __name__ == "__main__":
    main()
