"""Where exactly a target is, near a place where it should be: found in the mean of a few frames cut along its path."""

from dataclasses import dataclass

import cv2
import numpy as np

HALF = 12  # px; half the side of a window
RADIUS = 4.0  # px; how far from where it should be a target is looked for
CLEAR = 4.0  # sigmas from which there is one
SMOOTH = 1.0  # px
WEIGHT = 1.5  # px; sigma of the window under which the centroid is taken
ROUNDS = 8
SIDES = (3.0, 15.0)  # px; least and largest box


@dataclass(frozen=True)
class Spot:
    """dx, dy: its centroid, px from the middle of the window; side: of a box around it, px; sigmas: how clear it is."""

    dx: float
    dy: float
    side: float
    sigmas: float


def window(frame: np.ndarray, x: float, y: float) -> np.ndarray:
    """(2 HALF + 1,) squared float32, counts, around the place (x, y), by interpolation; beyond the frame its border is repeated."""
    return cv2.getRectSubPix(frame.astype(np.float32), (2 * HALF + 1,) * 2, (x - 0.5, y - 0.5))


def find_spot(windows: np.ndarray, radius: float = RADIUS) -> Spot | None:
    """The spot in the mean of windows (n, S, S), float32 counts, cut around where the target should be; None where nothing is clear within `radius` px.

    The middle of a window is the place (x, y) that it was cut around. Hot or cold.
    """
    mean = windows.astype(np.float32).mean(axis=0)
    y, x = np.mgrid[: mean.shape[0], : mean.shape[1]] - float(HALF)
    far = np.hypot(x, y)
    ring = far > radius + 3
    mean = mean - _plane(mean, x, y, ring)
    smooth = cv2.GaussianBlur(mean, (0, 0), SMOOTH, borderType=cv2.BORDER_REFLECT)
    sigma = float(smooth[ring].std()) or 1e-6
    near = np.where(far <= radius, np.abs(smooth), 0)
    row, column = np.unravel_index(int(near.argmax()), near.shape)
    if near[row, column] < CLEAR * sigma:
        return None
    signal = smooth * np.sign(smooth[row, column])
    dx, dy = _centroid(signal, x, y, float(x[row, column]), float(y[row, column]))
    if np.hypot(dx, dy) > radius + 1:
        return None
    return Spot(dx, dy, _side(signal, int(row), int(column)), float(near[row, column] / sigma))


def _plane(image: np.ndarray, x: np.ndarray, y: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The plane through the surroundings: a cloud's slope is no part of a target."""
    basis = np.stack([np.ones_like(x), x, y], axis=-1)
    level, *_ = np.linalg.lstsq(basis[where], image[where].astype(np.float64), rcond=None)
    return (basis @ level).astype(np.float32)


def _centroid(signal: np.ndarray, x: np.ndarray, y: np.ndarray, dx: float, dy: float) -> tuple[float, float]:
    """Adaptive moments: the mean under a Gaussian window that follows it (a step of twice the offset has no bias where the spot is as wide as the window)."""
    for _ in range(ROUNDS):
        weight = np.clip(signal, 0, None) * np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / (2 * WEIGHT**2))
        total = float(weight.sum())
        if total <= 0:
            break
        step = 2 * (float((weight * x).sum()) / total - dx), 2 * (float((weight * y).sum()) / total - dy)
        dx, dy = dx + float(np.clip(step[0], -1, 1)), dy + float(np.clip(step[1], -1, 1))
    return dx, dy


def _side(signal: np.ndarray, row: int, column: int) -> float:
    """Twice the side of what stands above half of the spot's height: its foot is inside."""
    _, marks = cv2.connectedComponents((signal > signal[row, column] / 2).astype(np.uint8))
    return float(np.clip(2 * np.sqrt((marks == marks[row, column]).sum()) - 1, *SIDES))
