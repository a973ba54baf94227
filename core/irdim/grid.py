"""The network's output map and the detections in it.

Per cell of `stride` px seven raw values: x, y, w, h, confidence, and one a class (target, interference). x and y are offsets of the centre from the
cell's corner in cells, -0.5 to 1.5, so that a neighbour can stand in for a full cell; w and h are logarithms of the size in cells; the rest are logits.
"""

import numpy as np
from scipy.special import expit

from irdim.boxes import CLASSES, Detection

CHANNELS = 5 + len(CLASSES)
X, Y, W, H, CONFIDENCE, FIRST_CLASS = range(6)
OFFSET = (-0.5, 1.5)
APART = 4.0  # px; of two detections nearer than this the stronger stays
MOST = 200  # detections kept a frame


def decode(
    output: np.ndarray, stride: int, threshold: float, shape: tuple[int, int] | None = None, apart: float = APART
) -> list[Detection]:
    """output: (7, h, w) float32, raw. Returns detections with score >= threshold, best first, at least `apart` px from each other, inside
    `shape` (H, W) where it is given (a padded frame has cells beyond it). Score = confidence x p(class), the likelier class."""
    confidence = expit(output[CONFIDENCE])
    classes = expit(output[FIRST_CLASS:])
    which = classes.argmax(0)
    score = confidence * np.take_along_axis(classes, which[None], 0)[0]
    rows, columns = np.nonzero(score >= threshold)
    values = output[:, rows, columns].astype(np.float64)
    x = (columns + np.clip(values[X], *OFFSET)) * stride
    y = (rows + np.clip(values[Y], *OFFSET)) * stride
    size = np.exp(np.clip(values[[W, H]], -6, 6)) * stride
    found = score[rows, columns]
    if shape is not None:
        inside = (x >= 0) & (y >= 0) & (x <= shape[1]) & (y <= shape[0])
        x, y, size, found, rows, columns = (
            x[inside],
            y[inside],
            size[:, inside],
            found[inside],
            rows[inside],
            columns[inside],
        )
    kept: list[int] = []
    for i in np.argsort(-found, kind="stable"):
        if all((x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2 >= apart**2 for j in kept):
            kept.append(int(i))
            if len(kept) == MOST:
                break
    labels = which[rows, columns]
    return [
        Detection(float(x[i]), float(y[i]), float(size[0, i]), float(size[1, i]), float(found[i]), CLASSES[labels[i]])
        for i in kept
    ]


def pad_to_stride(image: np.ndarray, stride: int) -> np.ndarray:
    """(C, H, W) padded with zeros at the bottom and right to a multiple of the stride."""
    _, height, width = image.shape
    return np.pad(image, ((0, 0), (0, -height % stride), (0, -width % stride)))
