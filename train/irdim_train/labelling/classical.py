"""Detectors that need no training, in sigmas of their own response, so that one threshold serves every camera.

temporal    the median of the differences with three older frames (Eq. 1), aligned: what has come to a place, or left it
top-hat     what an opening (or closing, for cold targets) with a square larger than any target takes away (Serra 1982)
contrast    how far the mean of a small cell is from the most like of its eight neighbours, over three sizes (after Chen et al. 2014): a piece of clutter
            has a neighbour of its like, a target has none
"""

import cv2
import numpy as np

from irdim.boxes import Detection
from irdim.differencing import InputSpec, high_pass, planes
from irdim.history import Stack
from irdim.noise import noise_sigma

TOP_HAT = 11  # px; side of the square, larger than a 9 x 9 target
CELLS = (3, 5, 7)  # px; sides of the cells of local contrast
SMOOTH = 0.8  # px; a point spread's width, to which responses are matched
MARGIN = 4  # px at the border that alignment and filters spoil
APART = 4  # px between two candidates
MOST = 100  # candidates a frame, the strongest
SIDE = 5.0  # px; a candidate's box, until a spot is measured


def candidates(stack: Stack, spec: InputSpec, threshold: float) -> list[Detection]:
    """Places that stand out in time, or in space by both of its measures, by at least `threshold` sigma; strongest first.

    stack: of a History with `spec`. A candidate's score is z / (z + 5) for a response of z sigma: 0.5 at 5 sigma.
    """
    response = np.maximum(temporal(stack, spec), np.minimum(top_hat(stack.frames[0]), contrast(stack.frames[0])))
    return _peaks(response, threshold)


def temporal(stack: Stack, spec: InputSpec) -> np.ndarray:
    """(H, W) float32, sigmas, hot or cold."""
    differences = planes(stack.frames, InputSpec("difference", spec.frame_step, spec.register), stack.shifts)
    response = _matched(high_pass(np.median(differences, axis=0)))
    return np.abs(response - np.median(response)) / sigma(response)


def top_hat(frame: np.ndarray) -> np.ndarray:
    """(H, W) float32, sigmas of the frame's own fine structure. frame: (H, W), any real dtype."""
    smooth = _matched(frame.astype(np.float32))
    square = np.ones((TOP_HAT, TOP_HAT), np.uint8)
    hot = smooth - cv2.morphologyEx(smooth, cv2.MORPH_OPEN, square)
    cold = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, square) - smooth
    higher = np.maximum(hot - np.median(hot), cold - np.median(cold))
    return np.clip(higher, 0, None) / sigma(high_pass(smooth))


def contrast(frame: np.ndarray) -> np.ndarray:
    """(H, W) float32, sigmas of the difference between two cells. frame: (H, W), any real dtype."""
    image = high_pass(frame.astype(np.float32))
    return np.maximum.reduce([_least_contrast(image, cell) for cell in CELLS])


def _least_contrast(image: np.ndarray, cell: int) -> np.ndarray:
    mean = cv2.blur(image, (cell, cell), borderType=cv2.BORDER_REFLECT)
    around = [mean - np.roll(mean, (dy, dx), (0, 1)) for dy in (-cell, 0, cell) for dx in (-cell, 0, cell) if dy or dx]
    return np.minimum.reduce([np.abs(d) for d in around]) / sigma(around[0])


def _matched(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), SMOOTH, borderType=cv2.BORDER_REFLECT)


def sigma(image: np.ndarray) -> np.float32:
    """Robust sigma of a response, which may be any scale: `noise_sigma` counts in whole units."""
    scale = max(float(np.quantile(np.abs(image), 0.75)), 1e-6) / 100
    return np.float32(noise_sigma(image / np.float32(scale)) * scale)


def _peaks(response: np.ndarray, threshold: float) -> list[Detection]:
    inner = np.zeros_like(response)
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = response[MARGIN:-MARGIN, MARGIN:-MARGIN]
    highest = cv2.dilate(inner, np.ones((2 * APART + 1,) * 2, np.uint8))
    rows, columns = np.nonzero((inner >= highest) & (inner >= threshold))
    order = np.argsort(-inner[rows, columns], kind="stable")[:MOST]
    return [
        Detection(
            float(columns[i]) + 0.5, float(rows[i]) + 0.5, SIDE, SIDE, score_of(float(inner[rows[i], columns[i]]))
        )
        for i in order
    ]


def score_of(sigmas: float) -> float:
    """0..1; 0.5 at 5 sigma."""
    return sigmas / (sigmas + 5.0)
