"""Protocol `mask-centroid`: Pd and Fa as the public benchmarks count them on masks, here on masks that boxes stand in for.

A box is drawn as the rows and columns whose middle lies in it, at least those under its centre. Boxes that touch, corners included, become one component.
In the order in which the rows of the frame meet them, each target component takes the first free component of detections whose centroid lies less than
`radius` px from its own: the rule of DNANet and BasicIRSTD, whose false-alarm count loses components of the same area as a matched one
(SCTransNet#14), corrected as in PyIRSTDMetrics: each component is counted by what it is, never by its area.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box, Detection, holds
from irdim.metrics.metric import Change, Counted, Metric
from irdim.metrics.pairwise import DEFAULT_RADIUS
from irdim.scr import core

Rectangle = tuple[int, int, int, int]  # top, left, bottom, right; the last two lie outside


@dataclass(frozen=True)
class Component:
    """Pixels that hang together. first: row and column of the first of them; x, y: centroid, px of the frame."""

    rectangles: tuple[Rectangle, ...]
    first: tuple[int, int]
    area: int
    x: float
    y: float


class MaskCentroid(Metric):
    """Targets are components of the drawn labels, so boxes that touch are one target."""

    counts_pixels = True

    def __init__(self, radius: float = DEFAULT_RADIUS) -> None:
        super().__init__()
        self.radius = radius

    @property
    def protocol(self) -> str:
        return "mask-centroid" if self.radius == DEFAULT_RADIUS else f"mask-centroid-{self.radius:g}px"

    def _count(self, detections: Sequence[Detection], labels: Sequence[Box], shape: tuple[int, int]) -> Counted:
        truth = components([b for b in labels if b.label == TARGET], shape)
        changes = []
        found: list[Component] = []
        before = (0, 0, 0, 0)
        for d in detections:
            found = _join(found, _rectangle(d, shape))
            now = self._counts(truth, found, labels)
            changes.append(Change(d.score, *(n - b for n, b in zip(now, before, strict=True))))
            before = now
        return Counted(changes, len(truth), [])

    def _counts(
        self, truth: Sequence[Component], found: Sequence[Component], labels: Sequence[Box]
    ) -> tuple[int, int, int, int]:
        """Hits, false alarms, those on interference, and the pixels of all of them."""
        free = list(found)
        for target in truth:
            near = (c for c in free if math.hypot(c.x - target.x, c.y - target.y) < self.radius)
            if (first := next(near, None)) is not None:
                free.remove(first)
        hits = len(found) - len(free)
        alarms = [c for c in free if not any(b.label == IGNORE and holds(b, c.x, c.y) for b in labels)]
        decoys = [b for b in labels if b.label == INTERFERENCE]
        on_decoy = sum(any(math.hypot(c.x - b.x, c.y - b.y) < self.radius for b in decoys) for c in alarms)
        return hits, len(alarms), on_decoy, sum(c.area for c in alarms)


def components(boxes: Sequence[Box | Detection], shape: tuple[int, int]) -> list[Component]:
    """What boxes become when they are drawn into a frame of `shape` (H, W), in the order of their first pixels."""
    found: list[Component] = []
    for box in boxes:
        found = _join(found, _rectangle(box, shape))
    return found


def _rectangle(box: Box | Detection, shape: tuple[int, int]) -> Rectangle:
    """The box's pixels; one whose centre lies outside the frame is drawn at the frame's edge."""
    x, y = (min(max(at, 0.0), length - 1e-6) for at, length in ((box.x, shape[1]), (box.y, shape[0])))
    rows, columns = core(shape, Box(x, y, box.w, box.h))
    return rows.start, columns.start, rows.stop, columns.stop


def _join(found: list[Component], rectangle: Rectangle) -> list[Component]:
    """The components after one more rectangle is drawn."""
    touching = [c for c in found if any(_touch(r, rectangle) for r in c.rectangles)]
    joined = _component((rectangle, *(r for c in touching for r in c.rectangles)))
    return sorted([*(c for c in found if c not in touching), joined], key=lambda c: c.first)


def _touch(a: Rectangle, b: Rectangle) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _component(rectangles: tuple[Rectangle, ...]) -> Component:
    top, left = (min(r[i] for r in rectangles) for i in (0, 1))
    bottom, right = (max(r[i] for r in rectangles) for i in (2, 3))
    first = (top, min(r[1] for r in rectangles if r[0] == top))
    if len(rectangles) == 1:
        return Component(rectangles, first, (bottom - top) * (right - left), (left + right) / 2, (top + bottom) / 2)
    mask = np.zeros((bottom - top, right - left), bool)
    for y0, x0, y1, x1 in rectangles:
        mask[y0 - top : y1 - top, x0 - left : x1 - left] = True
    rows, columns = np.nonzero(mask)
    return Component(rectangles, first, rows.size, left + float(columns.mean()) + 0.5, top + float(rows.mean()) + 0.5)
