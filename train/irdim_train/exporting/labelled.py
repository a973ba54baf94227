"""What every writer of labels is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from irdim.boxes import Box
from irdim.dataset import Sequence as Stored


@dataclass(frozen=True)
class Labelled:
    """A sequence and its boxes by frame."""

    sequence: Stored
    boxes: Mapping[int, Sequence[Box]]


def frame_name(index: int) -> str:
    """The stem of a frame's file."""
    return f"{index:06d}"


def edges(box: Box) -> tuple[float, float, float, float]:
    """Left, top, right and bottom edge, px."""
    return box.x - box.w / 2, box.y - box.h / 2, box.x + box.w / 2, box.y + box.h / 2


def text_of(number: float) -> str:
    """As short as it can be read back exactly."""
    return str(int(number)) if number == int(number) else repr(float(number))
