"""How near the loader lets training come to its limit: steps/s with real patches against steps/s with one resident batch, in turns in one run.

python bench/training_speed.py PATCHES [--width 0.5] [--batch 64] [--device cpu]
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import irdim_train  # noqa: F401 - before torch, as in the command: it sets how torch's threads wait  # isort: skip
import torch

from irdim.differencing import InputSpec
from irdim.patches import Patches
from irdim_train.batches import Batch, BatchReader
from irdim_train.devices import choose_device
from irdim_train.distributed import Ranks
from irdim_train.runs import FitConfig
from irdim_train.training import begin, train_step

ROUNDS, STEPS = 6, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patches", type=Path)
    parser.add_argument("--backbone", default="darknet19")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    patches, device = Patches.open(asked.patches), choose_device(asked.device)
    spec = InputSpec("difference+frame", patches.description["frame_step"], patches.description["register"])
    config = FitConfig(backbone=asked.backbone, width=asked.width, batch=asked.batch)
    ranks, state = Ranks(0, 1, device), begin(config, spec, device)
    state.model.train()
    reader = BatchReader(patches, spec, "train", state.model.stride, device, asked.batch)
    resident = next(reader.steps(0, 0, 1, augment=True))

    def rate(batches: Iterator[Batch]) -> float:
        with tempfile.TemporaryDirectory() as out:
            train_step(state, next(batches), 1e-4, config, ranks, False, Path(out))  # what begins is not timed
            begun = time.perf_counter()
            for batch in batches:
                train_step(state, batch, 1e-4, config, ranks, False, Path(out))
            if device.type == "cuda":
                torch.cuda.synchronize()
            return STEPS / (time.perf_counter() - begun)

    read, kept = [], []
    for turn in range(ROUNDS):
        kept.append(rate(itertools.repeat(resident, STEPS + 1)))
        read.append(rate(reader.steps(0, turn * 100, turn * 100 + STEPS + 1, augment=True)))
        print(
            f"round {turn + 1}: {read[-1]:.2f} steps/s with the loader, {kept[-1]:.2f} with a resident batch",
            flush=True,
        )
    ratios = [a / b for a, b in zip(read, kept, strict=True)]
    with_loader, without = (statistics.median(steps) * asked.batch for steps in (read, kept))
    print(
        f"{asked.backbone} x {asked.width:g}, batch {asked.batch} of {patches.size} px, {device}, {torch.get_num_threads()} threads: "
        f"{with_loader:.0f} patches/s with the loader, {without:.0f} without, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
