"""How the background moves through a recording, and where the recording breaks."""

from collections.abc import Callable

import numpy as np

from irdim.history import GAP
from irdim.registration import estimate_shift, texture


def background_motion(
    frames: np.ndarray, first: int, last: int, progress: Callable[[], None] = lambda: None
) -> np.ndarray:
    """(last - first + 1, 2) x, y in px that the background has moved since frame `first`. frames: (T, H, W), read one after the other."""
    moved = np.zeros((last - first + 1, 2))
    older = texture(frames[first])
    for n, index in enumerate(range(first + 1, last + 1), start=1):
        newer = texture(frames[index])
        dy, dx = estimate_shift(older, newer)
        moved[n] = moved[n - 1] + (dx, dy)
        older = newer
        progress()
    return moved


def unbroken(times: np.ndarray, interval: float | None) -> list[tuple[int, int]]:
    """First and last frame of each part without a gap in time. times: (T,) seconds; interval: nominal, or None where gaps cannot be known."""
    waited = np.diff(times)
    breaks = np.flatnonzero(~((waited > 0) & (waited <= GAP * interval))) if interval else np.zeros(0, int)
    return list(zip([0, *(breaks + 1).tolist()], [*breaks.tolist(), len(times) - 1], strict=True))
