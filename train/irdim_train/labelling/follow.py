"""A target marked on two or more frames, followed over those between: interpolated against the background, then snapped to its centroid.

Plain functions on arrays: the command line and the review page use the same.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from irdim.boxes import TARGET, Box
from irdim.errors import InputError
from irdim_train.labelling.motion import background_motion
from irdim_train.labelling.snapping import RADIUS, find_spot, window

AROUND = 2  # frames before and after whose windows are averaged
NEAR = 12  # frames before and after whose sizes are taken together
SIDE = 5.0  # px; the box of a target that is nowhere clear
ENOUGH = 5  # frames on which a size was measured, from which it is believed
STRAY = 0.2  # px a frame, counted from the nearest mark, by which a target may leave the straight way, the search radius besides

Places = Mapping[int, tuple[float, float]]


@dataclass(frozen=True)
class Followed:
    """boxes: by frame, none where the way leads out of the frame; snapped: frames on which the target was seen, the others are interpolated."""

    boxes: dict[int, Box]
    snapped: frozenset[int]


def follow(
    frames: np.ndarray,
    marks: Places,
    *,
    label: str = TARGET,
    snap: bool = True,
    progress: Callable[[], None] = lambda: None,
) -> Followed:
    """Boxes of a target on every frame from the first mark to the last.

    frames: (T, H, W); marks: by frame, its centre (x, y), px. Raises InputError for fewer than two marks and for one that is outside.
    """
    check_marks(frames.shape, marks)
    first, last = min(marks), max(marks)
    moved = background_motion(frames, first, last, progress)
    places = interpolate(marks, moved, first)
    if not snap:
        return Followed(boxes_at(places, {}, frames.shape, label), frozenset())
    return snapped(frames, places, marks, label)


def snapped(
    frames: np.ndarray, places: Places, known: Collection[int], label: str = TARGET, radius: float = RADIUS
) -> Followed:
    """Boxes of a target on every frame of its expected way, moved to where it is seen.

    places: by frame, without gaps; known: frames on which the place is right to within `radius` px, the reach of the search. From each of them the
    target is followed half the way to the next: what it has left the expected way by on one frame is expected on the next, too. Where it is not seen,
    that is interpolated.
    """
    offsets: dict[int, tuple[float, float]] = {}
    sides: dict[int, float] = {}
    for start, frames_on in _halves(places, sorted(known)):
        offset = (0.0, 0.0)
        for frame in frames_on:
            near = [f for f in range(frame - AROUND, frame + AROUND + 1) if f in places]
            cut = [window(frames[f], places[f][0] + offset[0], places[f][1] + offset[1]) for f in near]
            spot = find_spot(np.stack(cut), radius)
            if spot is None:
                continue
            further = offset[0] + spot.dx, offset[1] + spot.dy
            if np.hypot(*further) <= radius + STRAY * abs(frame - start) and _inside(
                places[frame], further, frames.shape
            ):
                offset = offsets[frame] = further
                sides[frame] = spot.side
    if not offsets:
        return Followed(boxes_at(places, {}, frames.shape, label), frozenset())
    knots = dict.fromkeys(known, (0.0, 0.0)) | offsets
    fixed, between = sorted(knots), sorted(places)
    dx, dy = (np.interp(between, fixed, [knots[f][k] for f in fixed]) for k in (0, 1))
    moved = {f: (places[f][0] + float(x), places[f][1] + float(y)) for f, x, y in zip(between, dx, dy, strict=True)}
    boxes = boxes_at(moved, sides, frames.shape, label)
    return Followed(boxes, frozenset(f for f in offsets if f in boxes))


def boxes_at(places: Places, sides: Mapping[int, float], shape: tuple[int, ...], label: str) -> dict[int, Box]:
    """Square boxes by frame. sides: where the target was measured; a box has the median of those within NEAR frames, or of all; of fewer than
    ENOUGH, noise may have drawn most, and a box has SIDE. shape: (T, H, W)."""
    sides = sides if len(sides) >= ENOUGH else {}
    measured, values = np.array(sorted(sides), int), np.array([sides[f] for f in sorted(sides)])
    usual = float(np.median(values)) if len(values) else SIDE
    boxes = {}
    for frame, (x, y) in places.items():
        if 0 <= x < shape[2] and 0 <= y < shape[1]:
            near = values[np.abs(measured - frame) <= NEAR]
            side = float(np.median(near)) if len(near) else usual
            boxes[frame] = Box(x, y, side, side, label)
    return boxes


def interpolate(marks: Places, moved: np.ndarray, first: int) -> dict[int, tuple[float, float]]:
    """Places (x, y) on every frame between the marks: straight and even against the background.

    moved: (n, 2) x, y that the background has moved since frame `first`, one row a frame.
    """
    numbers = sorted(marks)
    still = np.array([marks[f] for f in numbers]) - moved[[f - first for f in numbers]]
    between = np.arange(numbers[0], numbers[-1] + 1)
    way = np.stack([np.interp(between, numbers, still[:, k]) for k in (0, 1)], axis=1) + moved[between - first]
    return {f: (x, y) for f, (x, y) in zip(between.tolist(), way.tolist(), strict=True)}


def check_marks(shape: tuple[int, ...], marks: Places) -> None:
    """shape: (T, H, W). Raises InputError where the marks cannot be followed."""
    if len(marks) < 2:
        raise InputError("one mark: mark the target on two frames or more; between them it is followed")
    for frame, (x, y) in marks.items():
        if not 0 <= frame < shape[0]:
            raise InputError(f"mark {frame},{x:g},{y:g}: the sequence has frames 0 to {shape[0] - 1}")
        if not (0 <= x < shape[2] and 0 <= y < shape[1]):
            raise InputError(f"mark {frame},{x:g},{y:g}: lies outside the frame of {shape[2]}x{shape[1]}")


def _inside(place: tuple[float, float], offset: tuple[float, float], shape: tuple[int, ...]) -> bool:
    return 0 <= place[0] + offset[0] < shape[2] and 0 <= place[1] + offset[1] < shape[1]


def _halves(places: Places, known: list[int]) -> list[tuple[int, list[int]]]:
    """For each known frame twice: the frames nearer to it than to the next known one, after it and before it, in the order of going away from it."""
    first, last = min(places), max(places)
    parts = []
    for before, here, after in zip([None, *known[:-1]], known, [*known[1:], None], strict=True):
        end = last if after is None else (here + after) // 2
        begin = first if before is None else (before + here) // 2 + 1
        parts += [(here, list(range(here, end + 1))), (here, list(range(here - 1, begin - 1, -1)))]
    return parts
