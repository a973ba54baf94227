"""Plants the paper's four kinds of wrong label: unlabelled targets, badly placed labels, wrong categories, labelled background."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from irdim.boxes import INTERFERENCE, TARGET, Box
from irdim.dataset.records import LABELLED_BACKGROUND, MISPLACED, UNLABELLED, WRONG_CATEGORY
from irdim_train.synth.ledger import KINDS, PlantedError

MISPLACED_BY = (3.05, 8.0)  # px from its own target, and so far at least from any other
FROM_ANYTHING = 12.0  # px that a labelled background keeps from every box
TRIES = 50

Boxes = dict[int, list[Box]]


def plant_errors(
    boxes: Mapping[int, Sequence[Box]],
    frames: int,
    shape: tuple[int, int],
    rate: float,
    rng: np.random.Generator,
    sequence: str = "",
) -> tuple[Boxes, list[PlantedError]]:
    """Spoil `rate` errors per labelled target, the four kinds in equal shares, no label twice.

    boxes: the truth, by frame (0..frames - 1) of a shape (H, W). Wrong categories befall targets and interference in turn. Returns the
    spoilt boxes and what was done, by frame.
    """
    written: Boxes = {frame: list(there) for frame, there in boxes.items()}
    targets = [(f, b) for f, there in sorted(boxes.items()) for b in there if b.label == TARGET]
    others = [(f, b) for f, there in sorted(boxes.items()) for b in there if b.label == INTERFERENCE]
    free_targets, free_others = (iter([of[i] for i in rng.permutation(len(of))]) for of in (targets, others))
    wanted, first = int(rate * len(targets) + rng.uniform()), int(rng.integers(len(KINDS)))
    errors: list[PlantedError] = []
    for i in range(min(wanted, len(targets))):
        kind = KINDS[(first + i) % len(KINDS)]
        of_other = next(free_others, None) if kind == WRONG_CATEGORY and i // len(KINDS) % 2 else None
        place = of_other or next(free_targets, None)
        if place is None:
            break
        frame, true = place
        if kind == LABELLED_BACKGROUND:
            frame, wrong = _in_background(true, boxes, frames, shape, rng)
            error = PlantedError(sequence, frame, kind, None, wrong)
        elif kind == WRONG_CATEGORY:
            other = INTERFERENCE if true.label == TARGET else TARGET
            error = PlantedError(sequence, frame, kind, true, replace(true, label=other))
        elif kind == MISPLACED:
            error = PlantedError(sequence, frame, kind, true, _beside(true, boxes[frame], shape, rng))
        else:
            error = PlantedError(sequence, frame, kind, true, None)
        if error.written is None and kind != UNLABELLED:  # there was no room for it
            continue
        _apply(error, written)
        errors.append(error)
    return {f: there for f, there in sorted(written.items()) if there}, sorted(errors, key=lambda e: e.frame)


def _apply(error: PlantedError, written: Boxes) -> None:
    there = written.setdefault(error.frame, [])
    if error.true is not None:
        there.remove(error.true)
    if error.written is not None:
        there.append(error.written)


def _beside(true: Box, there: Sequence[Box], shape: tuple[int, int], rng: np.random.Generator) -> Box | None:
    """The box, moved by 3 to 8 px to where no target is."""
    for _ in range(TRIES):
        far, angle = rng.uniform(*MISPLACED_BY), rng.uniform(0, 2 * np.pi)
        moved = replace(
            true, x=round(true.x + far * float(np.cos(angle)), 3), y=round(true.y + far * float(np.sin(angle)), 3)
        )
        if _inside(moved, shape) and all(_apart(moved, b) >= 3 for b in there if b.label == TARGET):
            return moved
    return None


def _in_background(
    like: Box, boxes: Mapping[int, Sequence[Box]], frames: int, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[int, Box | None]:
    """A target's box on any frame where nothing is."""
    for _ in range(TRIES):
        frame = int(rng.integers(frames))
        place = replace(like, x=round(rng.uniform(0, shape[1]), 3), y=round(rng.uniform(0, shape[0]), 3))
        if _inside(place, shape) and all(_apart(place, b) >= FROM_ANYTHING for b in boxes.get(frame, ())):
            return frame, place
    return 0, None


def _inside(box: Box, shape: tuple[int, int]) -> bool:
    return 0 <= box.x < shape[1] and 0 <= box.y < shape[0]


def _apart(a: Box, b: Box) -> float:
    return float(np.hypot(a.x - b.x, a.y - b.y))
