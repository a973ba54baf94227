"""Pictures of what a network missed and of what it wrongly reported."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from irdim.boxes import IGNORE, TARGET, Box, Detection
from irdim.dataset import Dataset
from irdim.metrics import DEFAULT_RADIUS
from irdim.report import Figure, picture, show_around
from irdim_train.evaluated import Evaluated

SHOWN = 6  # pictures of each kind
OF_ONE = 2  # of a sequence, of these
APART = 15  # frames between two of a sequence


@dataclass(frozen=True)
class Example:
    """A place on a frame. worth: what is shown first; reported: all that was reported on the frame."""

    sequence: str
    frame: int
    x: float
    y: float
    worth: float
    reported: tuple[Detection, ...]


def missed_and_wrong(data: Dataset, evaluated: Evaluated) -> tuple[list[Figure], list[Figure]]:
    """Missed targets, those first that were nearest to being reported, and false alarms, the strongest first: a few of each sequence."""
    missed, wrong = [], []
    for name in evaluated.result.per_sequence:
        for lacks, alarms in _frames(data, evaluated, name):
            missed += lacks
            wrong += alarms
    return [_figure(data, e, "missed") for e in chosen(missed)], [
        _figure(data, e, f"reported with {e.worth:.2f}") for e in chosen(wrong)
    ]


def chosen(examples: Iterable[Example]) -> list[Example]:
    """At most SHOWN, OF_ONE of a sequence, not of neighbouring frames."""
    taken: list[Example] = []
    for example in sorted(examples, key=lambda e: -e.worth):
        same = [t for t in taken if t.sequence == example.sequence]
        if len(taken) < SHOWN and len(same) < OF_ONE and all(abs(t.frame - example.frame) >= APART for t in same):
            taken.append(example)
    return taken


def _frames(data: Dataset, evaluated: Evaluated, name: str) -> Iterator[tuple[list[Example], list[Example]]]:
    """Of each judged frame, what was missed and what was wrongly reported."""
    found = evaluated.result.found[name]
    labels = data.boxes(found.sequence)
    for frame, detections in found:
        here = labels.get(frame, [])
        ignored = [b for b in here if b.label == IGNORE]
        targets = [b for b in here if b.label == TARGET and not _under(b, ignored)]
        told = tuple(d for d in detections if d.label == TARGET and d.score >= evaluated.threshold)
        lacks = [b for b in targets if not _near(b, told)]
        alarms = [d for d in told if not _near(d, targets) and not _under(d, ignored)]
        yield (
            [Example(name, frame, b.x, b.y, _best(b, detections), told) for b in lacks],
            [Example(name, frame, d.x, d.y, d.score, told) for d in alarms],
        )


def _figure(data: Dataset, example: Example, what: str) -> Figure:
    sequence = data.sequence(example.sequence)
    labels = data.boxes(sequence).get(example.frame, [])
    shown = show_around(data.frames(sequence)[example.frame], (example.x, example.y), labels, example.reported)
    return picture(shown, f"{example.sequence}, frame {example.frame}: {what}")


def _best(box: Box, detections: Iterable[Detection]) -> float:
    """Score of the best detection at a missed target, which is under the threshold; 0 where there is none."""
    return max((d.score for d in detections if d.label == TARGET and _near(box, [d])), default=0.0)


def _near(place: Box | Detection, others: Iterable[Box | Detection]) -> bool:
    return any(math.hypot(place.x - o.x, place.y - o.y) <= DEFAULT_RADIUS for o in others)


def _under(place: Box | Detection, ignored: Iterable[Box]) -> bool:
    return any(abs(place.x - b.x) <= b.w / 2 and abs(place.y - b.y) <= b.h / 2 for b in ignored)
