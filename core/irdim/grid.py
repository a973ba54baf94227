"""The network's output map and the detections in it.

Per cell of `stride` px seven raw values: x, y, w, h, confidence, and one a class (target, interference). x and y are offsets of the centre from the
cell's corner in cells, -0.5 to 1.5, so that a neighbour can stand in for a full cell; w and h are logarithms of the size in cells; the rest are logits.
"""

import numpy as np
import scipy

from irdim.boxes import CLASSES, Detection

CHANNELS = 5 + len(CLASSES)
X, Y, W, H, CONFIDENCE, FIRST_CLASS = range(6)
STRIDE = 8  # px a cell, of every backbone
OFFSET = (-0.5, 1.5)
APART = 4.0  # px; of two detections nearer than this the stronger stays
INSIDE = 0.5  # sides of its box; nor does a weaker one of its class stay so near to it: it is about the same target
MOST = 200  # detections kept a frame


def decode(
    output: np.ndarray,
    stride: int,
    threshold: float,
    shape: tuple[int, int] | None = None,
    apart: float = APART,
    inside: float = INSIDE,
    most: int | None = MOST,
) -> list[Detection]:
    """output: (7, h, w) float32, raw. Returns detections with score >= threshold, best first, at least `apart` px from each other, and `inside` sides of its
    box (the root of its area) from a stronger one of their class, at most `most`, inside `shape` (H, W) where it is given (a padded frame has cells beyond
    it). Score = confidence x p(class), the likelier class."""
    # few cells are this sure, and no score is above its confidence
    rows, columns = np.nonzero(scipy.special.expit(output[CONFIDENCE]) >= threshold)
    logits = output[:, rows, columns]
    which = logits[FIRST_CLASS:].argmax(0)
    score = scipy.special.expit(logits[CONFIDENCE]) * scipy.special.expit(
        logits[FIRST_CLASS + which, np.arange(len(which))]
    )
    counts = score >= threshold
    rows, columns, which, score = rows[counts], columns[counts], which[counts], score[counts]
    values = logits[:, counts].astype(np.float64)
    x = (columns + np.clip(values[X], *OFFSET)) * stride
    y = (rows + np.clip(values[Y], *OFFSET)) * stride
    w, h = np.exp(np.clip(values[[W, H]], -6, 6)) * stride
    reach = inside * np.sqrt(w * h)
    free = np.ones(len(rows), bool)
    if shape is not None:
        free = (x >= 0) & (y >= 0) & (x <= shape[1]) & (y <= shape[0])
    found: list[Detection] = []
    for i in np.argsort(-score, kind="stable"):
        if len(found) == most:
            break
        if free[i]:
            found.append(
                Detection(float(x[i]), float(y[i]), float(w[i]), float(h[i]), float(score[i]), CLASSES[which[i]])
            )
            away = (x - x[i]) ** 2 + (y - y[i]) ** 2
            free &= away >= apart**2
            if reach[i] > apart:
                free &= (away >= reach[i] ** 2) | (which != which[i])
    return found


def pad_to_stride(image: np.ndarray, stride: int) -> np.ndarray:
    """(C, H, W) padded with zeros at the bottom and right to a multiple of the stride."""
    _, height, width = image.shape
    if height % stride == width % stride == 0:
        return image
    return np.pad(image, ((0, 0), (0, -height % stride), (0, -width % stride)))
