"""Several engines side by side on the same frames: what the deployed graph loses, and where."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from irdim.boxes import Detection
from irdim.bundle import ModelCard
from irdim.dataset import Dataset, Sequence
from irdim.detector import Detector
from irdim.engines import Engine
from irdim.errors import InputError
from irdim.history import with_full_history
from irdim.input_step import InputStep, Prepared
from irdim.metrics import CentreDistance, paired_difference
from irdim.sources import Frame

SAME = 1.0  # px; detections of two engines nearer than this are one
LEAST_STRETCH = 20  # frames
EXAMPLES = 12  # changed detections that are kept for the report


@dataclass(frozen=True)
class Changed:
    """A detection that `by` reports and the other engine does not."""

    sequence: str
    frame: int
    detection: Detection
    by: str


@dataclass
class SideBySide:
    """What score_side_by_side found. sequences: of those with a judged frame, name to engine to metric; reported, changed: by the first and the last engine
    together, and by one of them only; changed_by: the latter for every engine beside the first; drift: differences in score of detections that the first and
    the last share; seconds: engine to run times; examples: the strongest of the changed detections."""

    split: str
    metrics: dict[str, CentreDistance]
    sequences: dict[str, dict[str, CentreDistance]] = field(default_factory=dict)
    reported: int = 0
    changed: int = 0
    changed_by: dict[str, int] = field(default_factory=dict)
    drift: list[float] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    examples: list[Changed] = field(default_factory=list)

    def to_json(self, threshold: float) -> dict[str, Any]:
        """Each engine's score at the threshold, and how the first and the last differ: in F1 with its 95 % interval over the sequences, in scores."""
        drift = np.abs(self.drift) if self.drift else np.zeros(1)
        names = list(self.metrics)
        first, last = ({s: m[e].at(threshold) for s, m in self.sequences.items()} for e in (names[0], names[-1]))
        return {
            **{name: metric.at(threshold).to_json() for name, metric in self.metrics.items()},
            "split": self.split,
            "reported": self.reported,
            "changed": self.changed,
            "difference": paired_difference(first, last).to_json(),
            "drift": {
                "detections": len(self.drift),
                "mean": round(float(drift.mean()), 6),
                "p99": round(float(np.percentile(drift, 99)), 6),
                "largest": round(float(drift.max()), 6),
            },
            "milliseconds": {name: round(1e3 * float(np.median(s)), 3) for name, s in self.seconds.items()},
        }


def score_side_by_side(
    card: ModelCard,
    engines: Mapping[str, Engine],
    data: Dataset,
    split: str,
    progress: Callable[[int, int], None] = lambda done, of: None,
    most_frames: int | None = None,
) -> SideBySide:
    """Every engine on every whole frame of a split, each input made once. Compared with the first, at the card's report threshold, is each of the
    others, in detail the last.

    most_frames: about how many frames are enough; then each sequence, or every n-th, gives a stretch from its middle. progress: is told sequences.

    engines: two or more. Raises InputError where the split is empty, or no judged frame has full history.
    """
    sequences = data.sequences(split)
    if not sequences:
        raise InputError(f"{data.path}: no sequences in split '{split}'")
    result = SideBySide(
        split,
        {name: CentreDistance() for name in engines},
        changed_by=dict.fromkeys(list(engines)[1:], 0),
        seconds={name: [] for name in engines},
    )
    chosen = stretches(sequences, card.input.history, most_frames)
    for done, (sequence, stretch) in enumerate(chosen, 1):
        _score_sequence(card, engines, data, sequence, stretch, result)
        progress(done, len(chosen))
    if not result.sequences:
        raise _nothing_to_score(card, data, split)
    result.examples = sorted(result.examples, key=lambda c: -c.detection.score)[:EXAMPLES]
    return result


def check_scorable(card: ModelCard, data: Dataset, split: str, most_frames: int | None = None) -> None:
    """Raises InputError where score_side_by_side would find nothing to score in the split: before the work, from times and labels alone."""
    metric = CentreDistance()
    for s, stretch in stretches(data.sequences(split), card.input.history, most_frames):
        labels, times = data.boxes(s), data.times(s)[stretch.start : stretch.stop]
        for index in (np.flatnonzero(with_full_history(times, card.input, s.interval)) + stretch.start).tolist():
            metric.update([], list(labels.get(index, [])), (s.height, s.width))
            if metric.frames:
                return
    raise _nothing_to_score(card, data, split)


def _nothing_to_score(card: ModelCard, data: Dataset, split: str) -> InputError:
    return InputError(
        f"{data.path}: no judged frame in split '{split}' has {card.input.history} frames of history; nothing to score"
    )


def stretches(sequences: list[Sequence], history: int, most_frames: int | None = None) -> list[tuple[Sequence, range]]:
    """Which frames of which sequences: all, or about most_frames of them, in stretches of at least LEAST_STRETCH frames beyond the history."""
    total = sum(s.length for s in sequences)
    if most_frames is None or total <= most_frames:
        return [(s, range(s.length)) for s in sequences]
    length = max(most_frames // len(sequences), history + LEAST_STRETCH)
    few = sequences[:: max(-(-length * len(sequences) // most_frames), 1)]
    begins = [max((s.length - length) // 2, 0) for s in few]
    return [(s, range(b, min(b + length, s.length))) for s, b in zip(few, begins, strict=True)]


def _score_sequence(
    card: ModelCard,
    engines: Mapping[str, Engine],
    data: Dataset,
    sequence: Sequence,
    stretch: range,
    result: SideBySide,
) -> None:
    step = InputStep(dataclasses.replace(card, interval=sequence.interval))
    timed = {name: _Timed(engine, result.seconds[name]) for name, engine in engines.items()}
    detectors = {name: Detector(card, engine) for name, engine in timed.items()}
    own = {name: CentreDistance() for name in engines}
    frames, times, labels = data.frames(sequence), data.times(sequence), data.boxes(sequence)
    for index in stretch:
        prepared = step.push(Frame(index, float(times[index]), frames[index]))
        if not isinstance(prepared, Prepared):
            for detector in detectors.values():
                detector.reset()
            continue
        found = {name: detector.detect(prepared) for name, detector in detectors.items()}
        for name, detections in found.items():
            for metric in (result.metrics[name], own[name]):
                metric.update(detections, list(labels.get(index, [])), prepared.shape, sequence.interval)
        _compare(card.thresholds.report, sequence.name, index, found, result)
    if any(metric.frames for metric in own.values()):  # else it says nothing, and must not count as one that does
        result.sequences[sequence.name] = own


def _compare(
    threshold: float, sequence: str, frame: int, found: dict[str, list[Detection]], result: SideBySide
) -> None:
    """Count what one of two engines reports and the other does not; of the first and the last, note how shared scores moved."""
    reported = {name: [d for d in ds if d.score >= threshold] for name, ds in found.items()}
    first, *others = found
    for other in others:
        changed = [Changed(sequence, frame, d, first) for d in _lacking(reported[first], reported[other])]
        changed += [Changed(sequence, frame, d, other) for d in _lacking(reported[other], reported[first])]
        result.changed_by[other] += len(changed)
    result.reported += len(reported[first]) + len(reported[other])
    result.changed += len(changed)
    result.examples += changed
    same = ((d, _nearest(d, found[other])) for d in reported[first])
    result.drift += [there.score - d.score for d, there in same if there is not None]


def _lacking(detections: list[Detection], others: list[Detection]) -> list[Detection]:
    return [d for d in detections if _nearest(d, others) is None]


def _nearest(detection: Detection, others: list[Detection]) -> Detection | None:
    near = [o for o in others if (detection.x - o.x) ** 2 + (detection.y - o.y) ** 2 <= SAME**2]
    return min(near, key=lambda o: (detection.x - o.x) ** 2 + (detection.y - o.y) ** 2, default=None)


class _Timed:
    """An engine that notes how long each run takes."""

    def __init__(self, engine: Engine, seconds: list[float]) -> None:
        self.name, self._engine, self._seconds = engine.name, engine, seconds

    def run(self, image: np.ndarray) -> np.ndarray:
        """See Engine.run."""
        begun = time.perf_counter()
        output = self._engine.run(image)
        self._seconds.append(time.perf_counter() - begun)
        return output
