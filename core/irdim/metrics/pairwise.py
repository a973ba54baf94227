"""Protocols that pair detections with targets one-to-one: by centre distance, and by overlap.

In each frame the strongest detection chooses first, the closest free target that it may have. So what is matched at a threshold does not depend on
what lies below it, and one pass gives the counts at every threshold.
"""

from abc import abstractmethod
from collections.abc import Sequence

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box, Detection, holds
from irdim.metrics.metric import NEVER, Change, Counted, Metric

DEFAULT_RADIUS = 3.0  # px
DEFAULT_OVERLAP = 0.5


class Pairwise(Metric):
    """One-to-one, strongest first. A subclass says how far a detection is from a box, and how far is near enough."""

    @abstractmethod
    def _distance(self, d: Detection, b: Box) -> float: ...

    @property
    @abstractmethod
    def _reach(self) -> float: ...

    def pair(
        self, detections: Sequence[Detection], labels: Sequence[Box]
    ) -> tuple[dict[int, Detection], list[Detection]]:
        """detections: of targets, best first. Returns the index of each target that is found, among the labels, to its detection; and the false alarms."""
        found: dict[int, Detection] = {}
        alarms = []
        free = [i for i, b in enumerate(labels) if b.label == TARGET]
        for d in detections:
            nearest = min(free, key=lambda i: self._distance(d, labels[i]), default=None)
            if nearest is not None and self._distance(d, labels[nearest]) <= self._reach:
                free.remove(nearest)
                found[nearest] = d
            elif not any(b.label == IGNORE and holds(b, d.x, d.y) for b in labels):
                alarms.append(d)
        return found, alarms

    def _count(self, detections: Sequence[Detection], labels: Sequence[Box], shape: tuple[int, int]) -> Counted:
        found, alarms = self.pair(detections, labels)
        decoys = [b for b in labels if b.label == INTERFERENCE]
        changes = [Change(d.score, 1, 0) for d in found.values()]
        changes += [
            Change(d.score, 0, 1, int(any(self._distance(d, b) <= self._reach for b in decoys))) for d in alarms
        ]
        found_at = [found[i].score if i in found else NEVER for i, b in enumerate(labels) if b.label == TARGET]
        return Counted(changes, len(found_at), found_at)


class CentreDistance(Pairwise):
    """`centre-3px` and its like: a detection may have a target whose centre lies within `radius` px of its own."""

    def __init__(self, radius: float = DEFAULT_RADIUS) -> None:
        super().__init__()
        self.radius = radius

    @property
    def protocol(self) -> str:
        return f"centre-{self.radius:g}px"

    @property
    def _reach(self) -> float:
        return self.radius**2

    def _distance(self, d: Detection, b: Box) -> float:
        return (d.x - b.x) ** 2 + (d.y - b.y) ** 2


class BoxOverlap(Pairwise):
    """`iou-50` and its like: a detection may have a target with which its box shares at least `least` of the area that both cover."""

    def __init__(self, least: float = DEFAULT_OVERLAP) -> None:
        super().__init__()
        self.least = least

    @property
    def protocol(self) -> str:
        return f"iou-{100 * self.least:g}"

    @property
    def _reach(self) -> float:
        return -self.least

    def _distance(self, d: Detection, b: Box) -> float:
        return -overlap(d, b)


def overlap(a: Box | Detection, b: Box | Detection) -> float:
    """Intersection over union of two boxes; 0 where they do not meet, or have no area."""
    width = min(a.x + a.w / 2, b.x + b.w / 2) - max(a.x - a.w / 2, b.x - b.w / 2)
    height = min(a.y + a.h / 2, b.y + b.h / 2) - max(a.y - a.h / 2, b.y - b.h / 2)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a.w * a.h + b.w * b.h - width * height)
