"""A target marked on two or more frames, followed over those between: interpolated against the background, then snapped to its centroid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from irdim.boxes import TARGET, Box
from irdim.errors import InputError
from irdim.registration import estimate_shift, texture
from irdim_train.labelling.snapping import find_spot, window

AROUND = 2  # frames before and after whose windows are averaged
SIDE = 5.0  # px; the box of a target that is nowhere clear


@dataclass(frozen=True)
class Followed:
    """boxes: by frame; snapped: frames on which the target was seen, the others are interpolated."""

    boxes: dict[int, Box]
    snapped: frozenset[int]


def follow(
    frames: np.ndarray,
    marks: Mapping[int, tuple[float, float]],
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
    found = {}
    if snap:
        for frame in places:
            near = [f for f in range(frame - AROUND, frame + AROUND + 1) if f in places]
            spot = find_spot(np.stack([window(frames[f], *places[f]) for f in near]))
            if spot is not None:
                found[frame] = spot
    side = float(np.median([s.side for s in found.values()])) if found else SIDE
    boxes = {}
    height, width = frames.shape[1:]
    for frame, (x, y) in places.items():
        dx, dy = (found[frame].dx, found[frame].dy) if frame in found else (0.0, 0.0)
        at = np.clip((x + dx, y + dy), 0, (np.nextafter(width, 0), np.nextafter(height, 0)))
        boxes[frame] = Box(float(at[0]), float(at[1]), side, side, label)
    return Followed(boxes, frozenset(found))


def interpolate(
    marks: Mapping[int, tuple[float, float]], moved: np.ndarray, first: int
) -> dict[int, tuple[float, float]]:
    """Places (x, y) on every frame between the marks: straight and even against the background.

    moved: (n, 2) x, y that the background has moved since frame `first`, one row a frame.
    """
    numbers = sorted(marks)
    still = np.array([marks[f] for f in numbers]) - moved[[f - first for f in numbers]]
    between = range(numbers[0], numbers[-1] + 1)
    x, y = (np.interp(between, numbers, still[:, axis]) for axis in (0, 1))
    return {f: (float(px + dx), float(py + dy)) for f, px, py, (dx, dy) in zip(between, x, y, moved, strict=True)}


def background_motion(
    frames: np.ndarray, first: int, last: int, progress: Callable[[], None] = lambda: None
) -> np.ndarray:
    """(last - first + 1, 2) x, y in px that the background has moved since frame `first`. frames: (T, H, W)."""
    moved = np.zeros((last - first + 1, 2))
    older = texture(frames[first])
    for n, index in enumerate(range(first + 1, last + 1), start=1):
        newer = texture(frames[index])
        dy, dx = estimate_shift(older, newer)
        moved[n] = moved[n - 1] + (dx, dy)
        older = newer
        progress()
    return moved


def check_marks(shape: tuple[int, ...], marks: Mapping[int, tuple[float, float]]) -> None:
    """shape: (T, H, W). Raises InputError where the marks cannot be followed."""
    if len(marks) < 2:
        raise InputError("one mark: mark the target on two frames or more; between them it is followed")
    for frame, (x, y) in marks.items():
        if not 0 <= frame < shape[0]:
            raise InputError(f"mark {frame},{x:g},{y:g}: the sequence has frames 0 to {shape[0] - 1}")
        if not (0 <= x < shape[2] and 0 <= y < shape[1]):
            raise InputError(f"mark {frame},{x:g},{y:g}: lies outside the frame of {shape[2]}x{shape[1]}")
