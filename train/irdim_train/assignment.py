"""Which cell of the grid answers for which box: the one that holds its centre, or the nearest free neighbour where that is taken."""

import numpy as np

from irdim.grid import OFFSET

NOWHERE = -1


def assign_cells(boxes: np.ndarray, shape: tuple[int, int], stride: int) -> tuple[np.ndarray, np.ndarray]:
    """boxes: rows of irdim.patches.BOXES without those to ignore; shape: (h, w) cells of a patch.

    Returns the cell of each, (n, 2) row and column, NOWHERE where no cell near is free, and whether it had to move to a neighbour, (n,) bool.
    """
    h, w = shape
    x, y = boxes["x"] / np.float32(stride), boxes["y"] / np.float32(stride)
    cells = np.stack([np.clip(y.astype(int), 0, h - 1), np.clip(x.astype(int), 0, w - 1)], axis=1)
    flat = (boxes["patch"].astype(np.int64) * h + cells[:, 0]) * w + cells[:, 1]
    _, first = np.unique(flat, return_index=True)
    if len(first) == len(boxes):
        return cells, np.zeros(len(boxes), bool)
    late = np.setdiff1d(np.arange(len(boxes)), first)
    taken = {(int(boxes["patch"][i]), *cells[i].tolist()) for i in first}
    moved = np.zeros(len(boxes), bool)
    for i in late:
        patch = int(boxes["patch"][i])
        free = [c for c in _by_distance(float(x[i]), float(y[i]), h, w) if (patch, *c) not in taken]
        cells[i] = free[0] if free else NOWHERE
        moved[i] = bool(free)
        taken.add((patch, *cells[i].tolist()))
    return cells, moved


def _by_distance(x: float, y: float, h: int, w: int) -> list[tuple[int, int]]:
    """Cells whose offsets reach (x, y), by the distance of their middles."""
    rows = range(max(0, int(np.ceil(y - OFFSET[1]))), min(h, int(np.floor(y - OFFSET[0])) + 1))
    columns = range(max(0, int(np.ceil(x - OFFSET[1]))), min(w, int(np.floor(x - OFFSET[0])) + 1))
    return sorted(
        ((r, c) for r in rows for c in columns), key=lambda rc: (rc[0] + 0.5 - y) ** 2 + (rc[1] + 0.5 - x) ** 2
    )
