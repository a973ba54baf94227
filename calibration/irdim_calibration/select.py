"""Which patches calibrate: targets over the range of SCR and size, and every kind of background that a camera meets, never random alone.

Ranges carry from camera to camera because the network reads differences in units of noise sigma: two cameras of different gain give the same input.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from irdim.boxes import INTERFERENCE, LABELS, TARGET, Box
from irdim.differencing import InputSpec, network_input
from irdim.errors import InputError
from irdim.patches import Patches
from irdim.scr import local_scr

DEFAULT_COUNT = 512
ENOUGH = 500  # fewer are taken only where somebody asks for them
LEAST = 64  # fewer give ranges that the next frame leaves
KINDS = {  # shares of the whole; what cannot be filled goes to targets, then edges, then interference
    "interference": 0.08,
    "extreme": 0.08,  # saturated and dead pixels
    "target": 0.4,
    "edge": 0.16,
    "plain": 0.12,
    "whole frame": 0.16,
}
POOL = 6  # candidates looked at for each patch that is wanted
BINS = 4  # of SCR, and of size, over which targets are spread
EXTREME = 12.0  # of the compressed input: 40 sigma, more than targets reach


@dataclass(frozen=True)
class CalibrationSet:
    """inputs: (n, C, S, S) float32, what the network reads; rows: where the patches among them lie in the patch file; digest: SHA-256 of the choice;
    kinds: how many of each kind."""

    inputs: np.ndarray
    rows: np.ndarray
    digest: str
    kinds: dict[str, int] = field(default_factory=dict)


def choose_patches(
    patches: Patches,
    spec: InputSpec,
    count: int | None = None,
    seed: int = 0,
    wholes: Sequence[np.ndarray] = (),
) -> CalibrationSet:
    """Choose training patches in the shares of KINDS.

    count: how many, DEFAULT_COUNT where it is None; wholes: inputs (C, H, W) of whole training frames, from which tiles are cut at random: places that
    nobody chose. Raises InputError where there are fewer than ENOUGH, or, where a count is given, fewer than it or than LEAST.
    """
    wanted = DEFAULT_COUNT if count is None else count
    if wanted < LEAST:
        raise InputError(f"{wanted} calibration patches: at least {LEAST}, or the ranges are left by the next frame")
    train = patches.rows("train")
    if len(train) < LEAST:
        raise InputError(
            f"{patches.path}: {len(train)} training patches; calibration needs {LEAST} at least, crop more"
        )
    rng = np.random.default_rng(seed)
    tiles = _tiles(wholes, (spec.channels, patches.size, patches.size), round(KINDS["whole frame"] * wanted), rng)
    rows, kinds = _rows(patches, spec, train, wanted - len(tiles), rng)
    kinds = {kind: n for kind, n in {**kinds, "whole frame": len(tiles)}.items() if n}
    found = len(rows) + len(tiles)
    if found < (ENOUGH if count is None else count):
        most = max(n for n in range(wanted) if n - round(KINDS["whole frame"] * n * bool(len(tiles))) <= len(rows))
        raise InputError(
            f"{patches.path}: gives {most} calibration patches, {wanted} are wanted; crop more, or say --calibration {most}"
        )
    inputs = np.concatenate([np.stack([_input(patches, spec, row) for row in rows]), tiles])
    digest = hashlib.sha256(rows.astype("<i8").tobytes() + inputs.tobytes()).hexdigest()
    return CalibrationSet(inputs, rows, digest, kinds)


def _rows(
    patches: Patches, spec: InputSpec, train: np.ndarray, wanted: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, int]]:
    """Rows of the patch file, rising, and how many of each kind."""
    labels = patches.boxes["label"]
    with_target = np.unique(patches.boxes["patch"][labels == LABELS.index(TARGET)])
    with_interference = np.unique(patches.boxes["patch"][labels == LABELS.index(INTERFERENCE)])
    targets = np.intersect1d(train, with_target)
    interference = np.setdiff1d(np.intersect1d(train, with_interference), with_target)
    background = np.setdiff1d(train, np.union1d(with_target, with_interference))  # regions to ignore among it
    looked = rng.permutation(background)[: POOL * wanted]
    extreme, structure = _look(patches, spec, looked)
    by_structure = looked[np.argsort(structure, kind="stable")]
    orders = {  # each kind's candidates, best first
        "interference": rng.permutation(interference),
        "extreme": looked[np.argsort(-extreme, kind="stable")][: int((extreme > EXTREME).sum())],
        "target": _spread_targets(patches, targets, rng),
        "edge": by_structure[::-1],
        "plain": by_structure,
    }
    total = sum(KINDS[kind] for kind in orders)
    taken: list[int] = []
    kinds = dict.fromkeys(orders, 0)
    for kind, order in orders.items():
        share = round(KINDS[kind] / total * wanted)
        fresh = order[~np.isin(order, taken)][:share]
        taken += fresh.tolist()
        kinds[kind] = len(fresh)
    for kind in ("target", "edge", "interference"):  # what the rarer kinds left free
        order = orders[kind]
        fresh = order[~np.isin(order, taken)][: wanted - len(taken)]
        taken += fresh.tolist()
        kinds[kind] += len(fresh)
    return np.array(sorted(taken), np.int64), kinds


def _spread_targets(patches: Patches, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Patches with targets in an order whose every beginning is spread over the cells of a grid of SCR and size."""
    boxes = patches.boxes[patches.boxes["label"] == LABELS.index(TARGET)]
    first = boxes[np.unique(boxes["patch"], return_index=True)[1]]
    first = first[np.isin(first["patch"], rng.permutation(targets)[: POOL * DEFAULT_COUNT])]
    first = first[rng.permutation(len(first))]
    scr = [
        local_scr(patches.stacks[int(b["patch"])][0], Box(float(b["x"]), float(b["y"]), float(b["w"]), float(b["h"])))
        for b in first
    ]
    cells = BINS * _bins(np.nan_to_num(np.array(scr))) + _bins(first["w"] * first["h"])
    turn = np.zeros(len(first), int)  # how many of a cell come before
    for cell in np.unique(cells):
        turn[cells == cell] = np.arange((cells == cell).sum())
    return first["patch"][np.argsort(turn, kind="stable")].astype(np.int64)


def _bins(values: np.ndarray) -> np.ndarray:
    """Each value's place among BINS equal spans of the logarithm, so that the rare ends are full cells too."""
    if len(values) == 0:
        return np.zeros(0, int)
    logs = np.log(np.maximum(values, 0.1))
    span = max(float(np.ptp(logs)), 1e-9)
    return np.minimum(((logs - logs.min()) / span * BINS).astype(int), BINS - 1)


def _look(patches: Patches, spec: InputSpec, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each patch: the strongest value of the input, and its structure, the spread of the newest frame's means over 8 x 8 px in noise sigmas."""
    extreme, structure = np.zeros(len(rows)), np.zeros(len(rows))
    side = patches.size // 8 * 8
    for i, row in enumerate(rows):
        extreme[i] = np.abs(_input(patches, spec, row)).max()
        blocks = patches.stacks[int(row)][0, :side, :side].reshape(side // 8, 8, side // 8, 8).mean(axis=(1, 3))
        structure[i] = blocks.std() / patches.table["sigma_frame"][row, 0]
    return extreme, structure


def _tiles(
    wholes: Sequence[np.ndarray], shape: tuple[int, int, int], wanted: int, rng: np.random.Generator
) -> np.ndarray:
    """(n, *shape) tiles of whole inputs, anywhere; none where no input is as large as a tile. shape: (C, S, S)."""
    size = shape[1]
    large = [w for w in wholes if min(w.shape[1:]) >= size]
    tiles = np.empty((wanted if large else 0, *shape), np.float32)
    for i, tile in enumerate(tiles):
        whole = large[i % len(large)]
        top, left = (int(rng.integers(0, n - size + 1)) for n in whole.shape[1:])
        tile[:] = whole[:, top : top + size, left : left + size]
    return tiles


def _input(patches: Patches, spec: InputSpec, row: int) -> np.ndarray:
    return network_input(
        patches.stacks[int(row)], spec, patches.table["shift"][row], patches.sigma(spec, np.array([row]))[0]
    )
