"""Whether two engines say the same of the same inputs: what a built engine must show before it may run."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from irdim.engines import Engine
from irdim.errors import InputError
from irdim.grid import decode

LEAST_DB = 10.0  # roundings of INT8 and FP16 leave 15 dB and more where there is noise alone; a wrong scale leaves 5
MOST_DB = 200.0  # said of maps that are the same to the bit; the note on an engine knows no infinity
MOST_DRIFT = 0.1  # of a score
LOOKED_AT = 0.2  # scores below are not compared: nothing is reported there
SAME = 2.0  # px


@dataclass(frozen=True)
class Agreement:
    """signal_to_error: dB, over all output maps; drift: the largest difference in score of a place that either engine detects;
    samples, detections: what was compared."""

    samples: int
    signal_to_error: float
    detections: int
    drift: float

    @property
    def holds(self) -> bool:
        return self.signal_to_error >= LEAST_DB and self.drift <= MOST_DRIFT

    def __str__(self) -> str:
        return f"{self.signal_to_error:.1f} dB, scores of {self.detections} detections within {self.drift:.3f}, {self.samples} samples"


def compare_engines(reference: Engine, other: Engine, samples: Iterable[np.ndarray], stride: int) -> Agreement:
    """Run both on every sample, (C, H, W) float32. Raises InputError where there is none."""
    signal = error = drift = 0.0
    count = detections = 0
    for sample in samples:
        expected, actual = reference.run(sample), other.run(sample)
        if expected.shape != actual.shape or not np.isfinite(actual).all():
            return Agreement(count + 1, float("-inf"), detections, 1.0)
        signal += float(np.sum((expected - expected.mean(axis=(1, 2), keepdims=True)) ** 2))
        error += float(np.sum((expected - actual) ** 2))
        found, moved = _drift(expected, actual, stride)
        drift, detections, count = max(drift, moved), detections + found, count + 1
    if not count:
        raise InputError("no sample frames to compare the engines on; export the run again")
    ratio = 10 * np.log10(signal / error) if error and signal else MOST_DB if not error else float("-inf")
    return Agreement(count, float(ratio), detections, drift)


def _drift(expected: np.ndarray, actual: np.ndarray, stride: int) -> tuple[int, float]:
    """How many detections there are, and the largest difference in score to what the other map has at their place."""
    shape = (expected.shape[1] * stride, expected.shape[2] * stride)
    count, most = 0, 0.0
    for one, other in ((expected, actual), (actual, expected)):
        # also what a stronger neighbour hides: whether it lies just near enough to do so may be a matter of rounding
        others = decode(other, stride, LOOKED_AT / 2, shape, apart=0.0, inside=0.0, most=None)
        for d in decode(one, stride, LOOKED_AT / 2, shape):
            if d.score >= LOOKED_AT:
                near = [o.score for o in others if (o.x - d.x) ** 2 + (o.y - d.y) ** 2 <= SAME**2]
                most = max(most, d.score - max(near, default=0.0))
                count += 1
    return count, most
