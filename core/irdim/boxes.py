"""Boxes and detections. Coordinates are pixels of the frame, x right, y down; pixel (0, 0) covers 0..1, its centre is (0.5, 0.5)."""

from dataclasses import dataclass

TARGET, INTERFERENCE, IGNORE = "target", "interference", "ignore"
LABELS = (TARGET, INTERFERENCE, IGNORE)
CLASSES = (TARGET, INTERFERENCE)  # what the network predicts, in channel order (Eq. 4: c1, c2)


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled place: centre (x, y) and size (w, h) in pixels."""

    x: float
    y: float
    w: float
    h: float
    label: str = TARGET


def holds(box: Box, x: float, y: float) -> bool:
    """Whether a point lies in a box, its edge included."""
    return abs(x - box.x) <= box.w / 2 and abs(y - box.y) <= box.h / 2


def covers(box: Box, shape: tuple[int, int]) -> bool:
    """Whether a box says that nobody has looked at a frame of this shape, (H, W): a region to ignore as large as the whole."""
    return box.label == IGNORE and box.h >= shape[0] and box.w >= shape[1]


@dataclass(frozen=True, slots=True)
class Detection:
    """What the network reports: centre (x, y), size (w, h) in pixels, score = confidence x p(label)."""

    x: float
    y: float
    w: float
    h: float
    score: float
    label: str = TARGET
