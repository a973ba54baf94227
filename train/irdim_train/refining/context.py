"""What the labels of the frames before and after say of a doubt: a target does not come and go, change its kind or jump for one frame."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from irdim.boxes import IGNORE, Box
from irdim.dataset.records import LABELLED_BACKGROUND, UNLABELLED, WRONG_CATEGORY
from irdim_train.refining.disagreement import Doubt

AROUND = 2  # frames before and after
REACH = 3.0  # px; how far a label of the same thing lies
SPEED = 2.5  # px a frame more
WEIGHT = 3.0  # nats between all neighbours for and all against


def with_context(doubt: Doubt, labels: Mapping[int, Sequence[Box]], length: int) -> Doubt:
    """The same doubt with its excess changed by up to WEIGHT nats. labels: by frame; length: frames of the sequence.

    Where nothing near in time is labelled, nobody has labelled there, and nothing is said; nor where a label of it may lie in what is ignored.
    """
    frames = [f for f in range(doubt.frame - AROUND, doubt.frame + AROUND + 1) if 0 <= f < length and f != doubt.frame]
    around = [[b for b in labels.get(f, ()) if b.label != IGNORE] for f in frames]
    if not any(around) or any(_may_hide(b, doubt, f) for f in frames for b in labels.get(f, ()) if b.label == IGNORE):
        return doubt
    if doubt.kind == UNLABELLED:
        for_it = 2 * _share(doubt, frames, around, doubt.box.label) - 1
    elif doubt.kind == LABELLED_BACKGROUND:
        for_it = 1 - 2 * _share(doubt, frames, around, None)
    elif doubt.kind == WRONG_CATEGORY:
        for_it = 2 * _share(doubt, frames, around, doubt.box.label) - _share(doubt, frames, around, None)
    else:
        for_it = _nearer(doubt, labels, frames, around)
    for_it = min(max(for_it, -1.0), 1.0)
    return replace(doubt, excess=doubt.excess + WEIGHT * for_it, around=for_it)


def _nearer(doubt: Doubt, labels: Mapping[int, Sequence[Box]], frames: list[int], around: list[list[Box]]) -> float:
    """1 where the proposal lies on the way between the labels before and after, -1 where the label itself does."""
    label = next(b for b in labels[doubt.frame] if getattr(b, "id", None) == doubt.box_id)
    sides = []
    for past in (True, False):
        near = [
            (abs(f - doubt.frame), b)
            for f, boxes in zip(frames, around, strict=True)
            for b in boxes
            if (f < doubt.frame) == past and b.label == label.label and _apart(b, doubt.box) <= _reach(doubt, f)
        ]
        if not near:
            return 0.0
        sides.append(min(near, key=lambda n: (n[0], _apart(n[1], doubt.box))))
    (before, one), (after, other) = sides
    part = before / (before + after)
    way = replace(doubt.box, x=one.x + part * (other.x - one.x), y=one.y + part * (other.y - one.y))
    return float(np.clip((_apart(label, way) - _apart(doubt.box, way)) / max(doubt.away, 1e-3), -1, 1))


def _may_hide(ignored: Box, doubt: Doubt, frame: int) -> bool:
    """Whether a label of the same thing on that frame may lie in a region to ignore."""
    dx, dy, reach = abs(ignored.x - doubt.box.x), abs(ignored.y - doubt.box.y), _reach(doubt, frame)
    return dx <= ignored.w / 2 + reach and dy <= ignored.h / 2 + reach


def _reach(doubt: Doubt, frame: int) -> float:
    """px; how far a label of the same thing lies on that frame."""
    return REACH + SPEED * abs(frame - doubt.frame)


def _apart(a: Box, b: Box) -> float:
    return float(np.hypot(a.x - b.x, a.y - b.y))


def _share(doubt: Doubt, frames: list[int], around: list[list[Box]], label: str | None) -> float:
    """Share of the frames around that have a label near, of that kind where one is given."""
    near = [
        any(_apart(b, doubt.box) <= _reach(doubt, frame) for b in boxes if label in (None, b.label))
        for frame, boxes in zip(frames, around, strict=True)
    ]
    return float(np.mean(near))
