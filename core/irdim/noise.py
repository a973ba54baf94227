"""The noise scale of a difference, continuous on integer data.

A median absolute deviation over integers jumps: true sigma 0.8 gives 0. Here the cumulative distribution is read at the half-integer
edges between counts, where rounding has not moved it, and interpolated on the normal's own (probit) scale: exact for rounded normal data.

Where the quartiles say nothing, since most pixels did not change by a count, the distribution is read further out. So it is in compressed video, whose
codec takes the sensor's noise away and puts rare blocks of a few counts in its place, each of them like a target if nothing but rounding counted as noise.
"""

import math
from collections.abc import Callable

import numpy as np
import scipy

FLOOR = 0.5  # counts; below half a count a difference is all rounding
QUARTILE = 0.67448975  # z of the upper quartile of a normal
TAIL = 3.29052673  # z beyond which, on both sides, lies a thousandth of a normal: more pixels than a small target has
NOISY = 1.0  # counts; from here on the quartiles alone are read, at FLOOR the tails as well, between the two something between
SAMPLE = 2048  # values from which the histogram's place and width are taken
ENOUGH = 1 << 15  # values in the histogram: sigma is then certain to 0.7 %
SHEPPARD = 1 / 12  # variance that rounding to whole counts adds


def noise_sigma(image: np.ndarray, roundings: int = 1) -> float:
    """Standard deviation of the noise in `image`, in its own units (counts), robust to what is not noise; under a count, of its largest thousandth too.

    image: any shape, any real dtype; its median is of no effect; of a large one, pixels all over it are looked at. Read from the two quartiles, so
    targets, edges and dead pixels (up to a quarter on either side) hardly count. `roundings`: how many rounded frames were summed into it (2 for a plain
    difference); their rounding variance beyond the first is taken off. Returns at least FLOOR; FLOOR for a constant image.
    """
    image = np.asarray(image)
    return sampled_sigma(image.ravel()[:: pixel_stride(image.shape)], roundings)


def histogram(values: np.ndarray, centre: float, width: float, reach: int) -> np.ndarray:
    """How many of values, (n,) float32, lie in each of 2 reach + 1 bins of a width, the middle one around the centre; those beyond are of the outer bins."""
    bins = np.rint((values - np.float32(centre)) / np.float32(width))
    return np.bincount(np.clip(bins, -reach, reach).astype(np.int64) + reach, minlength=2 * reach + 1)


Histogram = Callable[[np.ndarray, float, float, int], np.ndarray]


def sampled_sigma(values: np.ndarray, roundings: int = 1, count: Histogram = histogram) -> float:
    """`noise_sigma` of those pixels that it looks at, (n,). count: `histogram`, or what does the same."""
    if values.size == 0:
        return FLOOR
    sample = np.sort(values[:: values.size // SAMPLE | 1]).astype(np.float64)
    low, centre, high = (
        _quantile(sample, share) for share in (0.25, 0.5, 0.75)
    )  # roughly; the histogram is of all values
    width = max(1.0, (high - low) / 64)
    reach = int(np.ceil(4 * (high - low) / width)) + 8  # which also bounds what tails can make of it
    z, edges = _probit_scale(count(values, float(np.rint(centre)), width, reach))
    if z.size < 2:  # no slope to read
        return FLOOR

    def unrounded(distance: float) -> float:
        return max(float(np.sqrt(max((width * distance) ** 2 - (roundings - 1) * SHEPPARD, 0.0))), FLOOR)

    usual = unrounded((_at(QUARTILE, z, edges) - _at(-QUARTILE, z, edges)) / (2 * QUARTILE))
    if usual >= NOISY:
        return usual
    low, high = np.interp((-TAIL, TAIL), z, edges)  # between the outermost edges: what is prolonged may lie anywhere
    return usual + (NOISY - usual) / (NOISY - FLOOR) * max(unrounded((high - low) / (2 * TAIL)) - usual, 0.0)


def _quantile(rising: np.ndarray, share: float) -> float:
    """Linear between the values of a sorted array, as np.quantile, which takes longer than the sorting."""
    below, part = divmod(share * (len(rising) - 1), 1)
    i = int(below)
    return float(rising[i] + part * (rising[min(i + 1, len(rising) - 1)] - rising[i]))


def pixel_stride(shape: tuple[int, ...]) -> int:
    """Every how-manieth pixel is taken: enough of them, and not from some columns alone."""
    stride = max(math.prod(shape) // ENOUGH, 1)
    while len(shape) > 1 and math.gcd(stride, shape[-1]) > 1:
        stride += 1
    return stride


def _probit_scale(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z of the cumulative share at the edges between bins, rising, and these edges' places, in bins; of edges with equal shares the first. Fewer than two
    where everything lies in one or two bins."""
    cumulative = np.cumsum(counts)[:-1] / counts.sum()
    edges = np.arange(cumulative.size, dtype=np.float64)
    inside = (cumulative > 0) & (cumulative < 1)
    z, edges = scipy.special.ndtri(cumulative[inside]), edges[inside]
    rises = np.append(True, z[1:] > z[:-1])[: z.size]
    return z[rises], edges[rises]


def _at(wanted: float, z: np.ndarray, edges: np.ndarray) -> float:
    """Position where z crosses `wanted`; the nearest segment is prolonged beyond the ends."""
    i = min(max(int(z.searchsorted(wanted)) - 1, 0), z.size - 2)
    return float(edges[i] + (wanted - z[i]) * (edges[i + 1] - edges[i]) / (z[i + 1] - z[i]))
