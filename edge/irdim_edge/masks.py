"""Masks: polygons fixed to the sensor, such as a mast or a street in the picture, in which nothing is reported."""

from collections.abc import Sequence
from dataclasses import dataclass

Polygon = Sequence[tuple[float, float]]  # corners (x, y), px of the frame; the last is joined to the first


@dataclass(frozen=True)
class Masks:
    """What the configuration masks; a place is masked where any polygon holds it."""

    polygons: Sequence[Polygon]

    def hide(self, x: float, y: float) -> bool:
        """Whether the place (x, y), px of the frame, is masked."""
        return any(_inside(polygon, x, y) for polygon in self.polygons)


def _inside(polygon: Polygon, x: float, y: float) -> bool:
    """Even-odd rule: a ray to the right crosses the outline an odd number of times."""
    inside = False
    x0, y0 = polygon[-1]
    for x1, y1 in polygon:
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            inside = not inside
        x0, y0 = x1, y1
    return inside
