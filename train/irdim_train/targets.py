"""What the network should say: boxes of a batch to maps on the grid."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from irdim.boxes import CLASSES, IGNORE, LABELS
from irdim_train.assignment import NOWHERE, assign_cells

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
    to_ignore = boxes["label"] == LABELS.index(IGNORE)
    for box in boxes[to_ignore]:
        _ignore(judged[box["patch"]], box, stride)
    boxes = boxes[~to_ignore]
    cells, moved = assign_cells(boxes, (h, w), stride)
    _leave_to_neighbours(judged, boxes, stride)
    there = cells[:, 0] != NOWHERE
    boxes, (row, column) = boxes[there], cells[there].T
    n = boxes["patch"]
    found[n, row, column] = 1
    judged[n, row, column] = 1
    classes[n, boxes["label"], row, column] = 1
    place[n, :, row, column] = np.stack(
        [
            boxes["x"] / stride - column,
            boxes["y"] / stride - row,
            np.log(boxes["w"] / stride),
            np.log(boxes["h"] / stride),
        ],
        axis=1,
    )
    tensors = [torch.from_numpy(a) for a in (place, classes, found, judged)]
    return TargetMaps(tensors[0], tensors[1], tensors[2], tensors[3], int(moved.sum()), int((~there).sum()))


def _leave_to_neighbours(judged: np.ndarray, boxes: np.ndarray, stride: int) -> None:
    """Cells that a centre nearly lies in may answer for it or not."""
    x, y = boxes["x"] / stride, boxes["y"] / stride
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, column = np.floor(y).astype(int) + down, np.floor(x).astype(int) + right
            near = (np.abs(y - row - 0.5) <= 0.5 + NEAR) & (np.abs(x - column - 0.5) <= 0.5 + NEAR)
            near &= (row >= 0) & (row < judged.shape[1]) & (column >= 0) & (column < judged.shape[2])
            judged[boxes["patch"][near], row[near], column[near]] = 0


def _ignore(judged: np.ndarray, box: np.void, stride: int) -> None:
    top, bottom = (box["y"] - box["h"] / 2) / stride, (box["y"] + box["h"] / 2) / stride
    left, right = (box["x"] - box["w"] / 2) / stride, (box["x"] + box["w"] / 2) / stride
    judged[max(int(top), 0) : int(np.ceil(bottom)), max(int(left), 0) : int(np.ceil(right))] = 0
