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


@dataclass(frozen=True, slots=True)
class Detection:
    """What the network reports: centre (x, y), size (w, h) in pixels, score = confidence x p(label)."""

    x: float
    y: float
    w: float
    h: float
    score: float
    label: str = TARGET
