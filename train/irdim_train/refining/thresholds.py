"""From which excess a doubt is put to a person."""

import numpy as np

from irdim.errors import InputError

HISTOGRAM = "histogram"
BINS = 128


def choose_threshold(text: str, excesses: np.ndarray) -> float:
    """text: a number of nats; 'q0.98', a quantile of all excesses; or 'histogram', the valley of the histogram of those above 0.

    excesses: (n,) nats, of all labels and of what is unlabelled. At least 0: below, the label is better than the proposal. Raises InputError on any other text.
    """
    if text == HISTOGRAM:
        return valley(excesses[excesses > 0])
    try:
        value = float(text.removeprefix("q"))
    except ValueError:
        value = float("nan")
    if text.startswith("q") and 0 <= value <= 1:
        return max(float(np.quantile(excesses, value)), 0.0) if len(excesses) else 0.0
    if not text.startswith("q") and 0 <= value < 1e6:
        return value
    raise InputError(f"--threshold {text}: a number of nats, a quantile such as q0.98, or {HISTOGRAM}")


def valley(values: np.ndarray) -> float:
    """The threshold that parts a histogram best into two (Otsu 1979): the greatest variance between them. 0 of fewer than two values."""
    if len(values) < 2:
        return 0.0
    counts, edges = np.histogram(values, BINS)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * middles)
    mean_below = total / np.maximum(below, 1)
    mean_above = (total[-1] - total) / np.maximum(above, 1)
    return float(edges[1:][int(np.argmax(below * above * (mean_below - mean_above) ** 2))])
