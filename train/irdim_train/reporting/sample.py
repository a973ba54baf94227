"""Miss and false-alarm rates from the random sample of whole frames.

A device takes each judged frame into the sample with a known probability p, whatever is in it, independently of the others. So a sampled frame stands
for 1/p frames (Horvitz and Thompson 1952), whatever the targets do and however alike neighbouring frames are; a rate is a ratio of two such sums
(Hajek's estimator). Once a person has said what is on the frame, misses and false alarms on it are counted like anywhere else (centre-3px).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from irdim.wording import number_of

LEAST_TARGETS, LEAST_FRAMES = 10, 20  # that an interval can rest on
_Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class Sampled:
    """A frame of the sample that a person has looked at. weight: 1 / probability."""

    weight: float
    targets: int
    missed: int
    false_alarms: int


@dataclass(frozen=True)
class Rate:
    """A rate with its 95 % interval. value, low, high: None where there is too little to say; of: what it rests on."""

    value: float | None
    low: float | None
    high: float | None
    of: str

    @property
    def text(self) -> str:
        """As it stands in a table."""
        if self.value is None:
            return f"too few to say ({self.of})"
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g}; {self.of})"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def miss_rate(frames: Sequence[Sampled]) -> Rate:
    """Share of targets that were not reported.

    Wilson's interval for a proportion, on the number of independent targets that these are worth: divided by the design effect, which is the
    linearised variance of the ratio, frames as clusters, over that of a simple proportion. Where nothing or everything was missed, that
    variance says nothing, and all targets of a frame count as one.
    """
    w, t, m = (np.array([getattr(f, name) for f in frames], float) for name in ("weight", "targets", "missed"))
    targets, with_targets = int(t.sum()), int((t > 0).sum())
    of = f"{number_of(targets, 'target')} on {number_of(len(frames), 'frame')}"
    if not targets:
        return Rate(None, None, None, of)
    total = (w * t).sum()
    rate = float((w * m).sum() / total)
    worth = min(targets, total**2 / ((w**2) * t).sum())
    if 0 < rate < 1 and len(frames) > 1:
        spread = (w * (m - rate * t)) ** 2
        variance = spread.sum() / total**2 * len(frames) / (len(frames) - 1)
        worth = min(worth, rate * (1 - rate) / variance)
    else:
        worth = min(worth, with_targets)
    if worth < LEAST_TARGETS:
        return Rate(None, None, None, of)
    centre = (rate + _Z**2 / (2 * worth)) / (1 + _Z**2 / worth)
    half = _Z / (1 + _Z**2 / worth) * math.sqrt(rate * (1 - rate) / worth + _Z**2 / (4 * worth**2))
    return Rate(rate, max(centre - half, 0.0), min(centre + half, 1.0), of)


def false_alarm_rate(frames: Sequence[Sampled]) -> Rate:
    """False alarms a frame.

    Garwood's exact interval for a Poisson mean, over the number of equally weighted frames that these are worth (Kish), widened where false
    alarms come in heaps: their variance over their mean, at least 1.
    """
    w, a = (np.array([getattr(f, name) for f in frames], float) for name in ("weight", "false_alarms"))
    of = f"{int(a.sum())} on {number_of(len(frames), 'frame')}"
    if len(frames) < LEAST_FRAMES:
        return Rate(None, None, None, of)
    rate = float((w * a).sum() / w.sum())
    worth = float(w.sum() ** 2 / (w**2).sum())
    heaped = max(float(a.var(ddof=1) / a.mean()), 1.0) if a.any() else 1.0
    count = rate * worth / heaped
    low = float(stats.chi2.ppf(0.025, 2 * count)) / 2 if count > 0 else 0.0
    high = float(stats.chi2.ppf(0.975, 2 * count + 2)) / 2
    return Rate(rate, low * heaped / worth, high * heaped / worth, of)


def share(part: int, whole: int) -> Rate:
    """A plain proportion with Wilson's interval."""
    of = f"{part} of {whole}"
    if whole < LEAST_TARGETS:
        return Rate(None, None, None, of)
    low, high = stats.binomtest(part, whole).proportion_ci(method="wilson")
    return Rate(part / whole, float(low), float(high), of)
