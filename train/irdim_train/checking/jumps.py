"""Labels that leave their trajectory for one frame, as no target does."""

from collections.abc import Mapping

import numpy as np

REACH = 8.0  # px a frame, against the background; faster than any target that small


def find_jumps(places: Mapping[int, np.ndarray], moved: Mapping[int, np.ndarray]) -> list[tuple[int, int, float]]:
    """(frame, number of the target in it, how far off in px) of every label that has nothing near it in the frames before and after, while a
    trajectory that goes on there has nothing in its own frame.

    places: by frame, centres (k, 2) x, y; moved: by frame, the (x, y) that the background has moved since the beginning, px.
    """
    still = {frame: centres.reshape(-1, 2) - moved[frame] for frame, centres in places.items()}
    jumps = []
    for frame, here in still.items():
        before, after = still.get(frame - 1), still.get(frame + 1)
        if before is None or after is None or not len(before) or not len(after):
            continue
        missing = _interrupted(before, here, after)
        for number, place in enumerate(here):
            alone = _nearest(place, before) > REACH and _nearest(place, after) > REACH
            if alone and len(missing):
                jumps.append((frame, number, _nearest(place, missing)))
    return jumps


def _interrupted(before: np.ndarray, here: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where a trajectory of the frames before and after should be now, (n, 2), and no label is."""
    gaps = np.hypot(*(before[:, None] - after[None]).transpose(2, 0, 1))
    pairs = [(a, b) for a, b in enumerate(gaps.argmin(axis=1)) if gaps[a, b] <= 2 * REACH]
    middles = np.array([(before[a] + after[b]) / 2 for a, b in pairs]).reshape(-1, 2)
    return np.array([m for m in middles if _nearest(m, here) > REACH]).reshape(-1, 2)


def _nearest(place: np.ndarray, others: np.ndarray) -> float:
    return float(np.hypot(*(others - place).T).min(initial=np.inf))
