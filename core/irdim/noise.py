"""The noise scale of a difference, continuous on integer data.

A median absolute deviation over integers jumps: true sigma 0.8 gives 0. Here the cumulative distribution is read at the half-integer
edges between counts, where rounding has not moved it, and interpolated on the normal's own (probit) scale: exact for rounded normal data.
"""

import numpy as np
from scipy.special import ndtri

FLOOR = 0.5  # counts; below half a count a difference is all rounding
QUARTILE = 0.67448975  # z of the upper quartile of a normal
SHEPPARD = 1 / 12  # variance that rounding to whole counts adds


def noise_sigma(image: np.ndarray, roundings: int = 1) -> float:
    """Standard deviation of the noise in `image`, in its own units (counts), robust to what is not noise.

    image: any shape, any real dtype; its median is of no effect. Read from the two quartiles, so targets, edges and dead pixels (up to
    a quarter on either side) hardly count. `roundings`: how many rounded frames were summed into it (2 for a plain difference); their
    rounding variance beyond the first is taken off. Returns at least FLOOR; FLOOR for a constant image.
    """
    values = np.asarray(image).ravel()
    if values.size == 0:
        return FLOOR
    values = values.astype(np.float64) if values.dtype.kind == "f" else values.astype(np.int64)
    spread = _quartile_spread(values)
    if spread > 64:  # bins of one count gain nothing here, and a histogram over a huge range costs memory
        return max(spread / (2 * QUARTILE), FLOOR)
    counts, lowest = _histogram(values, spread)
    sigma = _probit_sigma(counts, lowest)
    return max(float(np.sqrt(max(sigma**2 - (roundings - 1) * SHEPPARD, 0.0))), FLOOR)


def _quartile_spread(values: np.ndarray) -> float:
    n = values.size
    part = np.partition(values, [n // 4, (3 * n) // 4])
    return float(part[(3 * n) // 4]) - float(part[n // 4])


def _histogram(values: np.ndarray, spread: float) -> tuple[np.ndarray, int]:
    """Counts per whole number around the median; the tails are gathered in the outer bins."""
    centre = round(float(np.median(values)))
    reach = int(np.ceil(4 * spread)) + 8
    bins = np.clip(np.rint(values) - centre, -reach, reach).astype(np.int64) + reach
    return np.bincount(bins, minlength=2 * reach + 1), centre - reach


def _probit_sigma(counts: np.ndarray, lowest: int) -> float:
    """Sigma from the edges (lowest + i + 0.5) whose cumulative share brackets each quartile."""
    cumulative = np.cumsum(counts)[:-1] / counts.sum()
    edges = lowest + np.arange(cumulative.size) + 0.5
    inside = (cumulative > 0) & (cumulative < 1)
    if inside.sum() < 2:  # everything lies in one or two bins: no slope to read
        return 0.0
    z, edges = ndtri(cumulative[inside]), edges[inside]
    z, first = np.unique(z, return_index=True)
    edges = edges[first]
    if z.size < 2:
        return 0.0
    low, high = _at(-QUARTILE, z, edges), _at(QUARTILE, z, edges)
    return (high - low) / (2 * QUARTILE)


def _at(wanted: float, z: np.ndarray, edges: np.ndarray) -> float:
    """Position where z crosses `wanted`; the nearest segment is prolonged beyond the ends."""
    i = int(np.clip(np.searchsorted(z, wanted) - 1, 0, z.size - 2))
    return float(edges[i] + (wanted - z[i]) * (edges[i + 1] - edges[i]) / (z[i + 1] - z[i]))
