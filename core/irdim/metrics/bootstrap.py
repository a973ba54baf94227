"""How far a figure can be trusted: 95 % intervals by bootstrap over sequences, since the frames of one sequence are no independent samples.

Sequences are drawn with replacement, counts are summed, the rate is taken; the interval lies between quantiles of the rates so found. For few sequences
plain percentiles are too narrow, so the quantiles are moved out as Hesterberg's expanded percentile interval does (What Teachers Should Know About
the Bootstrap, 2015): alpha / 2 becomes Phi(-sqrt(n / (n - 1)) t(1 - alpha / 2, n - 1)).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy

from irdim.metrics.score import Score

FEWEST = 5  # sequences, below which no interval is given
RESAMPLES = 4000
LEVEL = 0.95
_AT_ONCE = 2_000_000  # weights held at a time

Rate = Callable[[np.ndarray], np.ndarray]  # (..., counts) to (...)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval. low, high: None where there are too few sequences; sequences: how many it rests on."""

    low: float | None
    high: float | None
    sequences: int

    @property
    def text(self) -> str:
        """As it stands behind a figure."""
        if self.low is None:
            return f"too few sequences ({self.sequences})"
        return f"{self.low:.3f}–{self.high:.3f}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """F1 of the second evaluation less that of the first, over all sequences, and its interval."""

    f1: float
    interval: Interval

    @property
    def clear(self) -> bool:
        """Whether 0 lies outside the interval."""
        low, high = self.interval.low, self.interval.high
        return low is not None and high is not None and not low <= 0 <= high

    def to_json(self) -> dict[str, Any]:
        return {"f1": self.f1, **self.interval.to_json()}


def score_intervals(scores: Sequence[Score], seed: int = 0) -> dict[str, Interval]:
    """Intervals of precision, recall, f1 and false_alarms_per_frame of all sequences together. scores: one a sequence, at one threshold."""
    counts = np.array([_counts(s) for s in scores], float).reshape(-1, 4)
    rates: dict[str, Rate] = {
        "precision": lambda c: _ratio(c[..., 0], c[..., 0] + c[..., 1]),
        "recall": lambda c: _ratio(c[..., 0], c[..., 2]),
        "f1": _f1,
        "false_alarms_per_frame": lambda c: _ratio(c[..., 1], c[..., 3]),
    }
    resampled = _resample(counts, seed)
    return {name: _interval(rate(resampled), len(scores)) for name, rate in rates.items()}


def ratio_interval(parts: np.ndarray, wholes: np.ndarray, seed: int = 0) -> Interval:
    """Interval of sum(parts) / sum(wholes). parts, wholes: (n,) counts of each sequence; those with a whole of 0 say nothing and are left out."""
    counts = np.stack([parts, wholes], axis=1).astype(float)[np.asarray(wholes) > 0]
    resampled = _resample(counts, seed)
    return _interval(_ratio(resampled[..., 0], resampled[..., 1]), len(counts))


def paired_difference(first: Mapping[str, Score], second: Mapping[str, Score], seed: int = 0) -> Difference:
    """Is the second evaluation better than the first? Both are resampled together, so what makes a sequence easy or hard for both cancels.

    first, second: name of a sequence to its score. Raises ValueError where they are not of the same sequences.
    """
    if first.keys() != second.keys():
        raise ValueError(f"not the same sequences: {', '.join(sorted(first.keys() ^ second.keys()))} in one only")
    counts = np.array([[_counts(one[name]) for one in (first, second)] for name in first], float).reshape(-1, 2, 4)
    resampled = _resample(counts.reshape(-1, 8), seed).reshape(-1, 2, 4)
    together = _f1(counts.sum(axis=0))
    return Difference(
        float(together[1] - together[0]), _interval(_f1(resampled[:, 1]) - _f1(resampled[:, 0]), len(counts))
    )


def _counts(score: Score) -> tuple[int, int, int, int]:
    return score.true_positives, score.false_positives, score.targets, score.frames


def _f1(counts: np.ndarray) -> np.ndarray:
    return _ratio(2 * counts[..., 0], counts[..., 0] + counts[..., 1] + counts[..., 2])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


def _resample(counts: np.ndarray, seed: int) -> np.ndarray:
    """Sums (RESAMPLES, k) of counts (n, k) over sequences drawn with replacement; empty where there are too few."""
    n = len(counts)
    if n < FEWEST:
        return np.zeros((0, counts.shape[1]))
    rng = np.random.default_rng(seed)
    at_once = max(_AT_ONCE // n, 1)
    sizes = [min(at_once, RESAMPLES - i) for i in range(0, RESAMPLES, at_once)]
    return np.concatenate([_weights(rng, size, n) @ counts for size in sizes])


def _weights(rng: np.random.Generator, size: int, n: int) -> np.ndarray:
    """How often each of n sequences is drawn, (size, n) float64."""
    drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)


def _interval(rates: np.ndarray, sequences: int) -> Interval:
    if sequences < FEWEST:
        return Interval(None, None, sequences)
    reach = np.sqrt(sequences / (sequences - 1)) * scipy.special.stdtrit(sequences - 1, (1 + LEVEL) / 2)
    low, high = np.quantile(rates, [scipy.special.ndtr(-reach), scipy.special.ndtr(reach)])
    return Interval(float(low), float(high), sequences)
