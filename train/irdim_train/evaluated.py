"""One evaluation under several protocols, with what belongs beside its figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from irdim.bundle import ModelCard
from irdim.dataset import Dataset
from irdim.dataset import Sequence as Recording
from irdim.engines import Engine
from irdim.metrics import Interval, Metric, Score, score_intervals
from irdim_train.breakdown import Range, break_down
from irdim_train.distributed import ALONE, Ranks
from irdim_train.evaluate import Evaluation, evaluate, pooled, score_sequences

FALSE_ALARMS = (0.01, 0.1, 1.0)  # a frame; the operating points


@dataclass(frozen=True)
class Evaluated:
    """threshold: from which a detection is reported; low: below which none was kept; result: what was found, by centre distance; sequences: protocol
    to name of a sequence to its metric, the main protocol first; metrics: protocol to all of them together; intervals: protocol to rate to its
    interval at the threshold; breakdown: property to its ranges, by centre distance, empty where it was not asked for."""

    split: str
    engine: str
    threshold: float
    low: float
    result: Evaluation
    sequences: Mapping[str, Mapping[str, Metric]]
    metrics: Mapping[str, Metric]
    intervals: Mapping[str, Mapping[str, Interval]]
    breakdown: Mapping[str, Sequence[Range]]


@dataclass(frozen=True)
class OperatingPoint:
    """The lowest threshold with at most `allowed` false alarms a frame. reached: False where all detections that were kept have fewer."""

    allowed: float
    score: Score
    reached: bool


def evaluate_protocols(
    card: ModelCard,
    engine: Engine,
    data: Dataset,
    *,
    split: str,
    radius: float,
    others: Sequence[str] = (),
    breakdown: bool = False,
    ranks: Ranks = ALONE,
    progress: Callable[[Recording, int], None] = lambda sequence, frames: None,
) -> Evaluated:
    """`evaluate`, then score the same detections under other protocols. breakdown: also measure the targets, which reads the frames again."""
    result = evaluate(card, engine, data, split=split, radius=radius, ranks=ranks, progress=progress)
    sequences: dict[str, Mapping[str, Metric]] = {result.metric.protocol: result.per_sequence}
    sequences |= {name: score_sequences(result, data, name) for name in others}
    at = card.thresholds.report
    return Evaluated(
        split=split,
        engine=engine.name,
        threshold=at,
        low=card.thresholds.low,
        result=result,
        sequences=sequences,
        metrics={name: pooled(parts.values(), name) for name, parts in sequences.items()},
        intervals={name: score_intervals([m.at(at) for m in parts.values()]) for name, parts in sequences.items()},
        breakdown=break_down(result, data, at) if breakdown else {},
    )


def operating_points(metric: Metric) -> list[OperatingPoint]:
    """One for each of FALSE_ALARMS."""
    most = metric.at(0.0).false_alarms_per_frame
    return [OperatingPoint(rate, metric.at_false_alarms(rate), most >= rate) for rate in FALSE_ALARMS]
