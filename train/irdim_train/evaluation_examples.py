"""Pictures of what a network missed and of what it wrongly reported."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from irdim.boxes import TARGET, Detection
from irdim.dataset import Dataset
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
    """Of each judged frame, what was missed and what was wrongly reported, as the scores count them."""
    found, metric = evaluated.result.found[name], evaluated.result.metric
    labels = data.boxes(found.sequence)
    for frame, detections in found:
        here = labels.get(frame, [])
        of_targets = [d for d in detections if d.label == TARGET]
        told = tuple(d for d in of_targets if d.score >= evaluated.threshold)
        hit, alarms = metric.pair(told, here)
        all_of_them, _ = metric.pair(of_targets, here)
        missed = [i for i, b in enumerate(here) if b.label == TARGET and i not in hit]
        nearly = {i: d.score for i, d in all_of_them.items()}  # of a detection under the threshold
        yield (
            [Example(name, frame, here[i].x, here[i].y, nearly.get(i, 0.0), told) for i in missed],
            [Example(name, frame, d.x, d.y, d.score, told) for d in alarms],
        )


def _figure(data: Dataset, example: Example, what: str) -> Figure:
    sequence = data.sequence(example.sequence)
    labels = data.boxes(sequence).get(example.frame, [])
    shown = show_around(data.frames(sequence)[example.frame], (example.x, example.y), labels, example.reported)
    return picture(shown, f"{example.sequence}, frame {example.frame}: {what}")
