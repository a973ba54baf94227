"""Which patches calibrate: targets over the whole range of strength, background from plain sky to cloud edges, never random alone."""

import hashlib
from dataclasses import dataclass

import numpy as np

from irdim.boxes import LABELS, TARGET
from irdim.differencing import InputSpec, network_input
from irdim.errors import InputError
from irdim.patches import Patches

DEFAULT_COUNT = 512
LEAST = 64  # fewer give ranges that the next frame leaves


@dataclass(frozen=True)
class CalibrationSet:
    """inputs: (n, C, S, S) float32, what the network reads; rows: where they lie in the patch file; digest: SHA-256 of the choice."""

    inputs: np.ndarray
    rows: np.ndarray
    digest: str


def choose_patches(patches: Patches, spec: InputSpec, count: int = DEFAULT_COUNT, seed: int = 0) -> CalibrationSet:
    """Half of the patches hold targets, half background; each half is spread evenly over its range of peak strength (the strongest value
    of the newest input channel), so that faint and saturated ones are both there. Raises InputError where there are fewer than LEAST."""
    train = patches.rows("train")
    if count < LEAST:
        raise InputError(f"{count} calibration patches: at least {LEAST}, or the ranges are left by the next frame")
    if len(train) < LEAST:
        raise InputError(
            f"{patches.path}: {len(train)} training patches; calibration needs {LEAST} at least, crop more"
        )
    rng = np.random.default_rng(seed)
    with_target = np.unique(patches.boxes["patch"][patches.boxes["label"] == LABELS.index(TARGET)])
    halves = [np.intersect1d(train, with_target), np.setdiff1d(train, with_target)]
    rows: list[int] = []
    for half in halves:
        pool = rng.permutation(half)[: 4 * count]
        strength = np.array([np.abs(_input(patches, spec, row)).max() for row in pool])
        wanted = min(count // 2, len(pool))
        if wanted:
            order = np.argsort(strength, kind="stable")
            rows += pool[order[np.linspace(0, len(pool) - 1, wanted).round().astype(int)]].tolist()
    chosen = np.array(sorted(rows))
    inputs = np.stack([_input(patches, spec, row) for row in chosen])
    return CalibrationSet(inputs, chosen, hashlib.sha256(chosen.astype("<i8").tobytes() + inputs.tobytes()).hexdigest())


def _input(patches: Patches, spec: InputSpec, row: int) -> np.ndarray:
    return network_input(
        patches.stacks[row], spec, patches.table["shift"][row], patches.sigma(spec, np.array([row]))[0]
    )
