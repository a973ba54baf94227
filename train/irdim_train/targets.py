"""What the network should say: boxes of a batch to maps on the grid."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from irdim.boxes import CLASSES, IGNORE, LABELS
from irdim.grid import OFFSET

NEAR = 0.25  # cells; a neighbour this near to a centre may answer for it too, so its confidence is not judged


@dataclass(frozen=True)
class TargetMaps:
    """place: (N, 4, h, w) x, y offsets and log sizes in cells; classes: (N, 2, h, w) 0 or 1; object: (N, h, w) 1 where a centre is; judged: (N, h, w) 0 where
    the confidence counts for nothing; spilled: boxes that went to a neighbouring cell; lost: boxes without a free cell near."""

    place: Tensor
    classes: Tensor
    object: Tensor
    judged: Tensor
    spilled: int
    lost: int


def target_maps(boxes: np.ndarray, count: int, size: tuple[int, int], stride: int) -> TargetMaps:
    """boxes: rows of irdim.patches.BOXES, whose `patch` is the index in the batch; count: patches in the batch; size: (H, W) px."""
    h, w = size[0] // stride, size[1] // stride
    place = np.zeros((count, 4, h, w), np.float32)
    classes = np.zeros((count, len(CLASSES), h, w), np.float32)
    found = np.zeros((count, h, w), np.float32)
    judged = np.ones((count, h, w), np.float32)
    spilled = lost = 0
    ignore = LABELS.index(IGNORE)
    for box in boxes[boxes["label"] == ignore]:
        _ignore(judged[box["patch"]], box, stride)
    for box in boxes[boxes["label"] != ignore]:
        n, x, y = int(box["patch"]), float(box["x"]) / stride, float(box["y"]) / stride
        cells = _cells_by_distance(x, y, h, w)
        free = [c for c in cells if not found[n, c[0], c[1]]]
        if not free:
            lost += 1
            continue
        spilled += free[0] != cells[0]
        row, column = free[0]
        found[n, row, column] = 1
        place[n, :, row, column] = x - column, y - row, np.log(box["w"] / stride), np.log(box["h"] / stride)
        classes[n, int(box["label"]), row, column] = 1
        for near_row, near_column in cells[1:]:
            if -NEAR <= x - near_column <= 1 + NEAR and -NEAR <= y - near_row <= 1 + NEAR:
                judged[n, near_row, near_column] = 0
    judged[found > 0] = 1
    tensors = [torch.from_numpy(a) for a in (place, classes, found, judged)]
    return TargetMaps(tensors[0], tensors[1], tensors[2], tensors[3], spilled, lost)


def _cells_by_distance(x: float, y: float, h: int, w: int) -> list[tuple[int, int]]:
    """Cells whose offsets reach (x, y), the one that holds it first, then by the distance of their middles."""
    rows = range(max(0, int(np.ceil(y - OFFSET[1]))), min(h, int(np.floor(y - OFFSET[0])) + 1))
    columns = range(max(0, int(np.ceil(x - OFFSET[1]))), min(w, int(np.floor(x - OFFSET[0])) + 1))
    return sorted(
        ((r, c) for r in rows for c in columns), key=lambda rc: (rc[0] + 0.5 - y) ** 2 + (rc[1] + 0.5 - x) ** 2
    )


def _ignore(judged: np.ndarray, box: np.void, stride: int) -> None:
    top, bottom = (box["y"] - box["h"] / 2) / stride, (box["y"] + box["h"] / 2) / stride
    left, right = (box["x"] - box["w"] / 2) / stride, (box["x"] + box["w"] / 2) / stride
    judged[max(int(top), 0) : int(np.ceil(bottom)), max(int(left), 0) : int(np.ceil(right))] = 0
