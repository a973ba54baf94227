"""Documented amounts of data, scaled by one number."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from irdim.errors import InputError
from irdim_train.synth.options import SynthOptions
from irdim_train.synth.write import Job

SHARED = 512  # stacks that share a set of cloud textures


@dataclass(frozen=True)
class Counts:
    """Stacks by split and by whether they hold a target."""

    train_background: int
    train_target: int
    val_background: int
    val_target: int

    @property
    def total(self) -> int:
        return sum(dataclasses.astuple(self))

    def splits(self) -> dict[str, tuple[int, int]]:
        """(background, with target) of each split."""
        return {
            "train": (self.train_background, self.train_target),
            "val": (self.val_background, self.val_target),
        }


def shares(stacks: int, target: float, val: float) -> Counts:
    """So many stacks, of which these shares hold a target and are for validation."""
    if not 2 <= stacks <= 10_000_000:
        raise InputError(f"--stacks {stacks}: from 2 to 10 million")
    if not 0 <= target <= 1:
        raise InputError(f"--target-share {target}: from 0 to 1")
    if not 0 <= val < 1:
        raise InputError(f"--val-share {val}: from 0, below 1")
    return _split(stacks - round(stacks * target), round(stacks * target), round(stacks * val))


def _split(background: int, target: int, val: int) -> Counts:
    """`val` of them for validation, with as large a share of targets as all."""
    val_target = round(target * val / (background + target))
    return Counts(background - (val - val_target), target - val_target, val - val_target, val_target)


@dataclass(frozen=True)
class Preset:
    """options: what differs from the defaults; background, target: stacks at full scale, `val` of them for validation."""

    options: dict[str, Any]
    background: int
    target: int
    val: int

    def counts(self, scale: float) -> Counts:
        """At a scale. Raises InputError where it leaves a part empty."""
        if not 0 < scale <= 1 or round(self.target * scale) < 1:
            raise InputError(f"--scale {scale:g}: from 0.001 to 1")
        counts = _split(round(self.background * scale), round(self.target * scale), round(self.val * scale))
        if min(dataclasses.astuple(counts)) < 1:
            raise InputError(f"--scale {scale:g}: leaves a split without targets or background; choose a larger one")
        return counts


# Zhao et al. 2024: 640 x 512 sky, 89,510 stacks of 4 frames, 54,489 background and 35,021 with target, 85,010 training and 4,500 validation
PRESETS = {
    "paper": Preset(
        {
            "frames": 4,
            "width": 640,
            "height": 512,
            "scr": 5.0,
            "layers": 3,
            "targets": 2,
            "knots": 2,
            "occlusion": 0.0,  # every stack with a target shows it
            "stripes": 20.0,
        },
        background=54_489,
        target=35_021,
        val=4_500,
    )
}


def preset(name: str) -> Preset:
    """Raises InputError where there is none of that name."""
    if name not in PRESETS:
        raise InputError(f"--preset {name}: one of {', '.join(PRESETS)}")
    return PRESETS[name]


def stack_jobs(options: SynthOptions, counts: Counts) -> list[Job]:
    """A sequence for each stack, named by its split: `val-...` and `train-...`. A stack with target has one half way through it."""
    jobs, index = [], 0
    for number, (split, (background, target)) in enumerate(counts.splits().items()):
        for i, holds_target in enumerate(interleaved(background, target)):
            own = options if holds_target else dataclasses.replace(options, targets=0)
            jobs.append(Job(f"{split}-{options.seed}-{i:05d}", own, index, (options.seed, number, i // SHARED)))
            index += 1
    return jobs


def interleaved(background: int, target: int) -> list[bool]:
    """Whether each of background + target stacks holds a target, evenly mixed."""
    total = background + target
    return [(i + 1) * target // total > i * target // total for i in range(total)]
