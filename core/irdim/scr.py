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
    hotter or colder. Local mean and sigma: see `surroundings`. NaN where the centre lies outside the frame or too little surrounds it.
    Noise alone gives about 2 in a box of 3 x 3 px, and more in a larger one.
    """
    mean, sigma = surroundings(frame, box)
    if np.isnan(mean):
        return float("nan")
    return float(np.abs(frame[core(frame.shape, box)].astype(np.float64) - mean).max() / max(sigma, ROUNDING))


def core(shape: tuple[int, ...], box: Box) -> tuple[slice, slice]:
    """The box's pixels in a frame (H, W): those whose middle lies in it, at least the one under its centre."""
    return _within(box.y, box.h / 2, shape[0]), _within(box.x, box.w / 2, shape[1])


def surroundings(frame: np.ndarray, box: Box) -> tuple[float, float]:
    """Mean and standard deviation over the rectangular ring from GUARD to GUARD + RING px outside the box, as far as the frame reaches.

    NaN, NaN where the box's centre lies outside the frame or the ring has fewer than FEWEST pixels in it.
    """
    if not (0 <= box.x < frame.shape[1] and 0 <= box.y < frame.shape[0]):
        return float("nan"), float("nan")
    inner, outer = (
        core(frame.shape, Box(box.x, box.y, box.w + 2 * reach, box.h + 2 * reach)) for reach in (GUARD, GUARD + RING)
    )
    window = frame[outer].astype(np.float64)
    ring = np.ones(window.shape, bool)
    ring[tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))] = False
    around = window[ring]
    if around.size < FEWEST:
        return float("nan"), float("nan")
    return float(around.mean()), float(around.std())


def _within(centre: float, half: float, length: int) -> slice:
    """The pixels of 0..length - 1 whose middle lies within `half` of the centre, and always the one under it."""
    under = int(centre)
    first = min(int(np.ceil(centre - half - 0.5)), under)
    last = max(int(np.floor(centre + half - 0.5)), under)
    return slice(max(first, 0), min(last + 1, length))
