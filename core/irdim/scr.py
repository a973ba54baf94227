"""Local signal-to-clutter ratio: how far a target stands out of what surrounds it. The one definition that every figure of irdim uses."""

import numpy as np

from irdim.boxes import Box

GUARD = 2.0  # px around the box that count neither as target nor as background: the foot of the point spread
RING = 6.0  # px; how far the background reaches beyond the guard
FEWEST = 16  # pixels of background, below which nothing is measured
ROUNDING = 12**-0.5  # counts; whole counts cannot tell a smaller sigma


def local_scr(frame: np.ndarray, box: Box) -> float:
    """SCR = |peak - local mean| / local sigma, on one frame (the newest of a stack).

    frame: (H, W), any real dtype, counts; box: centre and size, px. Peak: the pixel of the box that is furthest from the local mean,
    hotter or colder (the box's pixels are those whose middle lies in it, at least the one under its centre). Local mean and standard deviation: over the
    rectangular ring from GUARD to GUARD + RING px outside the box, as far as the frame reaches. NaN where the centre lies outside the
    frame or fewer than FEWEST pixels of ring do not. So noise alone gives about 2 in a box of 3 x 3 px, and more in a larger one.
    """
    height, width = frame.shape
    if not (0 <= box.x < width and 0 <= box.y < height):
        return float("nan")
    rows, columns = _within(box.y, box.h / 2, height), _within(box.x, box.w / 2, width)
    outer = tuple(_within(c, s / 2 + GUARD + RING, n) for c, s, n in ((box.y, box.h, height), (box.x, box.w, width)))
    inner = tuple(_within(c, s / 2 + GUARD, n) for c, s, n in ((box.y, box.h, height), (box.x, box.w, width)))
    window = frame[outer].astype(np.float64)
    ring = np.ones(window.shape, bool)
    ring[tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))] = False
    around = window[ring]
    if around.size < FEWEST:
        return float("nan")
    peak = np.abs(frame[rows, columns].astype(np.float64) - around.mean()).max()
    return float(peak / max(around.std(), ROUNDING))


def _within(centre: float, half: float, length: int) -> slice:
    """The pixels of 0..length - 1 whose middle lies within `half` of the centre, and always the one under it."""
    under = int(centre)
    first = min(int(np.ceil(centre - half - 0.5)), under)
    last = max(int(np.floor(centre + half - 0.5)), under)
    return slice(max(first, 0), min(last + 1, length))
