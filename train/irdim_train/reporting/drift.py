"""Whether what the cameras see now still looks like what the detector was trained on: noise and level, field against training data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from irdim.dataset import Dataset
from irdim.differencing import InputSpec
from irdim.input_statistics import EDGES, bin_of, input_statistics
from irdim.sources import Frame
from irdim_train.field_logs import is_field_log

MOST_FRAMES, A_SEQUENCE = 400, 8  # frames of the training data that are measured, in all and of one sequence
LEAST = 30  # measurements on either side, below which nothing is said
SOME, LARGE = 0.1, 0.25  # how a population stability index is usually read
PARTS = 10


@dataclass(frozen=True)
class Drift:
    """One statistic. medians in counts; psi: population stability index; ks: largest distance of the two distribution functions; None where
    there is too little to say; field_counts, training_counts: histograms over `edges`."""

    name: str
    training_median: float | None
    field_median: float | None
    psi: float | None
    ks: float | None
    edges: list[float]
    training_counts: list[int]
    field_counts: list[int]

    @property
    def verdict(self) -> str:
        if self.psi is None:
            return "too few to say"
        return "none" if self.psi < SOME else "some" if self.psi < LARGE else "large"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


def training_histograms(data: Dataset, spec: InputSpec) -> dict[str, np.ndarray]:
    """Histograms over EDGES of the statistics of some hundred frames, spread evenly over imported training sequences.

    Field logs in the data set are left out: they were chosen because something was odd, and mostly are crops.
    """
    counts = {name: np.zeros(len(edges) - 1, np.int64) for name, edges in EDGES.items()}
    sequences = [s for s in data.sequences("train") if not is_field_log(s)]
    each = max(1, min(A_SEQUENCE, MOST_FRAMES // max(len(sequences), 1)))
    for sequence in sequences[:: -(-len(sequences) // MOST_FRAMES) or 1]:
        frames, times = data.frames(sequence), data.times(sequence)
        last = np.unique(np.linspace(spec.history - 1, sequence.length - 1, each + 2)[1:-1].astype(int))
        for newest in last[last >= spec.history - 1]:
            window = range(newest - spec.history + 1, newest + 1)
            found = input_statistics([Frame(i, times[i], np.asarray(frames[i])) for i in window], spec)
            for name, value in found.items():
                counts[name][bin_of(name, value)] += 1
    return counts


def compare(name: str, training: np.ndarray, field: Mapping[str, Any]) -> Drift:
    """A device's histogram (edges, counts) against that of the training data. Over other edges than EDGES, nothing is said."""
    edges = EDGES[name]
    seen = np.array(field["counts"], np.int64)
    alike = len(field["edges"]) == len(edges) and np.allclose(field["edges"], edges, rtol=1e-6)
    enough = alike and min(training.sum(), seen.sum()) >= LEAST
    return Drift(
        name,
        _median(training, edges),
        _median(seen, np.array(field["edges"])),
        _stability(training, seen) if enough else None,
        float(np.abs(np.cumsum(training) / training.sum() - np.cumsum(seen) / seen.sum()).max()) if enough else None,
        [float(e) for e in field["edges"]],
        training.tolist() if alike else [],
        seen.tolist(),
    )


def _stability(training: np.ndarray, seen: np.ndarray) -> float:
    """sum (q - p) ln(q / p) over about ten parts that hold a tenth of the training data each; half a count is added to every part."""
    part = np.minimum((np.cumsum(training) - training) * PARTS // training.sum(), PARTS - 1)
    p, q = (np.bincount(part, c, PARTS) + 0.5 for c in (training, seen))
    used = np.bincount(part, minlength=PARTS) > 0
    p, q = p[used] / p[used].sum(), q[used] / q[used].sum()
    return float(((q - p) * np.log(q / p)).sum())


def _median(counts: np.ndarray, edges: np.ndarray) -> float | None:
    """Middle of the bin that the median lies in."""
    if not counts.sum():
        return None
    k = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return float((edges[k] + edges[k + 1]) / 2)
