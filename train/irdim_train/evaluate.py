"""Score a network on whole frames of a data set, through the very detector that the edge runs."""

import dataclasses
import os
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from irdim.boxes import CLASSES, Detection
from irdim.bundle import ModelCard
from irdim.dataset import Dataset, Sequence
from irdim.detector import Detector
from irdim.engines import Engine
from irdim.errors import InputError
from irdim.metrics import DEFAULT_RADIUS, CentreDistance, Metric, open_metric
from irdim.sources import Frame
from irdim_train.distributed import ALONE, Ranks

MOST_THREADS = 8  # sequences that are run at a time
_COLUMNS = 6  # of a detection: x, y, w, h, score, number of its class


@dataclass(frozen=True)
class Found:
    """What a detector gave for one sequence, at 48 bytes a detection.

    frames: (n,) int32, indices of those with full history; ends: (n,) int64, where each one's detections end in `rows`, (m, 6) float64; shifts: (n, 2)
    float32, camera motion (dy, dx) in px since the frame before, None where the model registers nothing; warming: frames without full history.
    """

    sequence: Sequence
    frames: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    shifts: np.ndarray | None
    warming: int

    def __iter__(self) -> Iterator[tuple[int, list[Detection]]]:
        """Frame by frame: its index, and its detections, best first."""
        begin = 0
        for frame, end in zip(self.frames.tolist(), self.ends.tolist(), strict=True):
            rows = self.rows[begin:end].tolist()
            yield frame, [Detection(x, y, w, h, score, CLASSES[int(c)]) for x, y, w, h, score, c in rows]
            begin = end


@dataclass
class Evaluation:
    """metric: every frame that had full history; warming: frames without; per_sequence: name to its own metric; found: name to what the
    detector gave."""

    metric: CentreDistance
    warming: int = 0
    per_sequence: dict[str, CentreDistance] = field(default_factory=dict)
    found: dict[str, Found] = field(default_factory=dict)


def evaluate(
    card: ModelCard,
    engine: Engine,
    data: Dataset,
    *,
    split: str = "test",
    radius: float = DEFAULT_RADIUS,
    ranks: Ranks = ALONE,
    progress: Callable[[Sequence, int], None] = lambda sequence, frames: None,
) -> Evaluation:
    """Run every sequence of a split through a Detector and score it by centre distance within `radius` px.

    Detections go into the metric from the card's low threshold upwards. ranks: the processes that share the sequences; each gets the whole result.
    Raises InputError where the split is empty.
    """
    sequences = data.sequences(split)
    if not sequences:
        raise InputError(
            f"{data.path}: no sequences in split '{split}'; choose another --split or import with --{split} GLOB"
        )
    result = Evaluation(CentreDistance(radius))
    for found in _detect_all(card, engine, data, sequences, ranks, progress):
        result.warming += found.warming
        name, own = found.sequence.name, CentreDistance(radius)
        _score(found, data, own)
        result.found[name] = found
        if own.frames:  # one without a judged frame says nothing, and must not count as one that does
            result.per_sequence[name] = own
        result.metric.extend(own)
    if not result.per_sequence:
        raise InputError(
            f"{data.path}: no judged frame in split '{split}' has {card.input.history} frames of history; nothing to score"
        )
    return result


def score_sequences(result: Evaluation, data: Dataset, protocol: str) -> dict[str, Metric]:
    """The same detections under another protocol: name of a sequence to its metric."""
    metrics = {name: open_metric(protocol) for name in result.per_sequence}
    for name, metric in metrics.items():
        _score(result.found[name], data, metric)
    return metrics


def pooled(metrics: Iterable[Metric], protocol: str) -> Metric:
    """One metric over all that several of a protocol have collected."""
    total = open_metric(protocol)
    for metric in metrics:
        total.extend(metric)
    return total


def rescore(result: Evaluation, data: Dataset, radius: float) -> Metric:
    """The same detections under another radius."""
    protocol = CentreDistance(radius).protocol
    return pooled(score_sequences(result, data, protocol).values(), protocol)


def default_split(data: Dataset) -> str:
    """The first of test, val and train that has sequences."""
    return next((split for split in ("test", "val", "train") if data.sequences(split)), "test")


def _score(found: Found, data: Dataset, metric: Metric) -> None:
    sequence = found.sequence
    labels = data.boxes(sequence)
    for index, detections in found:
        metric.update(detections, labels.get(index, []), (sequence.height, sequence.width), sequence.interval)


def _detect_all(
    card: ModelCard,
    engine: Engine,
    data: Dataset,
    sequences: list[Sequence],
    ranks: Ranks,
    progress: Callable[[Sequence, int], None],
) -> list[Found]:
    """What was found in every sequence, in order, whichever rank found it."""
    mine = []
    for found in detect_sequences(card, engine, data, sequences[ranks.rank :: ranks.ranks]):
        mine.append(found)
        progress(found.sequence, found.sequence.length)
    shares = ranks.gather(mine)
    return [shares[i % ranks.ranks][i // ranks.ranks] for i in range(len(sequences))]


def detect_sequences(card: ModelCard, engine: Engine, data: Dataset, sequences: list[Sequence]) -> Iterator[Found]:
    """What a Detector gives for each sequence, in order; several run at a time."""
    stop = threading.Event()
    threads = ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), MOST_THREADS))
    try:
        yield from threads.map(lambda s: _detect(card, engine, data, s, stop), sequences)
    finally:  # after Ctrl-C, or an error in one of them, the others need not run to their end
        stop.set()
        threads.shutdown(cancel_futures=True)


def _detect(card: ModelCard, engine: Engine, data: Dataset, sequence: Sequence, stop: threading.Event) -> Found:
    detector = Detector(dataclasses.replace(card, interval=sequence.interval), engine)  # its own gaps are gaps
    indices, ends, rows, shifts = array("i"), array("q"), array("d"), array("f")
    with Dataset.open(data.path) as own:  # a connection belongs to its thread
        frames, times = own.frames(sequence), own.times(sequence)
        for i in range(sequence.length):
            if stop.is_set():
                break
            step = detector.push(Frame(i, float(times[i]), frames[i]))
            if step.status == "ok":
                for d in step.detections:
                    rows.extend((d.x, d.y, d.w, d.h, d.score, CLASSES.index(d.label)))
                indices.append(i)
                ends.append(len(rows) // _COLUMNS)
                shifts.extend(step.shift)
    return Found(
        sequence,
        np.array(indices),
        np.array(ends),
        np.array(rows).reshape(-1, _COLUMNS),
        np.array(shifts).reshape(-1, 2) if card.input.register else None,
        sequence.length - len(indices),
    )
