"""What the page is sent of an item: facts as JSON, and the true pixels of its place before, at and after."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from irdim.dataset import Dataset, QueueItem, Sequence
from irdim.dataset.records import TRACK
from irdim.errors import InputError
from irdim.fieldlog.records import SAMPLE
from irdim.registration import estimate_shift, texture
from irdim_train.reviewing import as_json, sequence_names

SIDE, AROUND = 96, 8  # px of the crop around a place; frames before and after
WHOLE_SIDE, WHOLE_AROUND = 1024, 3  # the same of an item that is a whole frame
TRACK_AROUND = 20


@dataclass(frozen=True)
class Cut:
    """The part of a sequence that is shown: frames first..last, rows top..bottom, columns left..right (ends excluded)."""

    first: int
    last: int
    top: int
    bottom: int
    left: int
    right: int


def cut_of(item: QueueItem, sequence: Sequence) -> Cut:
    """A crop around the item's place, moved to lie within the frame."""
    side, around = {SAMPLE: (WHOLE_SIDE, WHOLE_AROUND), TRACK: (SIDE, TRACK_AROUND)}.get(item.kind, (SIDE, AROUND))
    first = max(min(item.frame - around, sequence.length - 1 - 2 * around), 0)
    top, bottom = _span(item.box.y, side, sequence.height)
    left, right = _span(item.box.x, side, sequence.width)
    return Cut(first, min(first + 2 * around + 1, sequence.length), top, bottom, left, right)


def facts(data: Dataset, item: QueueItem, who: str | None, at: str | None) -> dict[str, Any]:
    """All that the page writes and draws of an item, in px of the frame; `problem` where its frames cannot be shown."""
    sequence = sequence_names(data)[item.sequence_id]
    cut, problem = cut_of(item, sequence), None
    try:
        data.frames(sequence)
    except (InputError, OSError) as error:  # a removed or broken file: the item is still shown, and can be skipped
        problem = str(error)
    live = data.boxes(sequence)
    labels = [
        {"frame": f, "id": b.id, "x": b.x, "y": b.y, "w": b.w, "h": b.h, "label": b.label}
        for f in range(cut.first, cut.last)
        for b in live.get(f, [])
    ]
    return {
        **as_json(item, sequence.name),
        **{"box_id": item.box_id, "who": who, "at": at, "cut": vars(cut), "labels": labels, "problem": problem},
        **{"whole": item.kind == SAMPLE, "width": sequence.width, "height": sequence.height, "dtype": sequence.dtype},
        "length": sequence.length,
    }


def pixels(data: Dataset, item: QueueItem) -> bytes:
    """Frames of the cut, uint16 little-endian, row by row."""
    sequence = sequence_names(data)[item.sequence_id]
    c = cut_of(item, sequence)
    return data.frames(sequence)[c.first : c.last, c.top : c.bottom, c.left : c.right].astype("<u2").tobytes()


def shifts(data: Dataset, item: QueueItem) -> list[list[float]]:
    """(dx, dy) px, of each frame of the cut, by which the background lies away from where it is on the item's frame."""
    sequence = sequence_names(data)[item.sequence_id]
    c, frames = cut_of(item, sequence), data.frames(sequence)
    here = texture(np.asarray(frames[item.frame]))
    moved = [estimate_shift(here, texture(np.asarray(frames[f]))) for f in range(c.first, c.last)]
    return [[dx, dy] for dy, dx in moved]


def _span(centre: float, side: int, size: int) -> tuple[int, int]:
    first = max(min(int(centre) - side // 2, size - side), 0)
    return first, min(first + side, size)
