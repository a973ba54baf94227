"""Where patches are cut from a frame: around its targets, anywhere else, and where the background has structure.

Places follow from the seed, the sequence and the frame alone, by draws that other labels leave as they are: a label that is added, or moved by a few
pixels, moves few places, so what was cut before serves again.
"""

from collections.abc import Callable
from collections.abc import Sequence as ListOf
from dataclasses import dataclass

import cv2
import numpy as np

from irdim.boxes import IGNORE, TARGET, Box
from irdim.differencing import high_pass

APART = 8  # px; a background patch keeps this far from targets
MARGIN = 2.0  # px; a target's centre lies at least this far inside its patch
TRIES = 10  # random places that are looked at for a background patch
SMOOTH = 2.0  # px; sigma of the blur that keeps noise out of the structure

Key = tuple[int, int, int]  # seed, sequence, frame


@dataclass(frozen=True)
class Mix:
    """background: background patches per target patch; hard: the share of them that is drawn by structure."""

    background: float = 1.0
    hard: float = 0.0


@dataclass(frozen=True)
class Place:
    """The first row and column of a patch; hard: background that was chosen for its structure."""

    top: int
    left: int
    hard: bool = False


def belongs(box: Box, top: int | np.ndarray, left: int | np.ndarray, size: int) -> bool | np.ndarray:
    """A target belongs to the patches that hold its centre, a region to ignore to all that it reaches into."""
    reach_x, reach_y = (box.w / 2, box.h / 2) if box.label == IGNORE else (0.0, 0.0)
    along_x, along_y = box.x - left, box.y - top
    return (-reach_x <= along_x) & (along_x < size + reach_x) & (-reach_y <= along_y) & (along_y < size + reach_y)


def around_targets(boxes: ListOf[Box], shape: tuple[int, int], size: int, key: Key) -> list[Place]:
    """A patch for each target, its centre anywhere in it. Of the places that are possible the one with the highest lot is taken: a target
    that moves a little mostly leaves it the same."""
    targets = sorted((b for b in boxes if b.label == TARGET), key=lambda b: (b.x, b.y))
    found = []
    for number, box in enumerate(targets):
        rng = np.random.default_rng([*key, 1 + number])
        lots = [rng.random(length - size + 1) for length in shape]
        found.append(Place(_along(box.y, shape[0], size, lots[0]), _along(box.x, shape[1], size, lots[1])))
    return found


def _along(centre: float, length: int, size: int, lots: np.ndarray) -> int:
    low = max(0, int(np.ceil(centre + MARGIN - size)))
    high = min(length - size, int(np.floor(centre - MARGIN)))
    return low + int(lots[low : high + 1].argmax()) if low <= high else int(np.clip(low, 0, length - size))


def of_background(
    boxes: ListOf[Box],
    shape: tuple[int, int],
    size: int,
    key: Key,
    expected: float,
    hard: float,
    newest: Callable[[], np.ndarray],
) -> list[Place]:
    """Patches without a target in or near them and clear of what is to be ignored: `expected` of them on average, fewer where ten tries
    find none. hard: the share that is drawn by structure; newest: gives the frame (H, W), asked for where that is needed."""
    rng = np.random.default_rng([*key, 0])
    count = int(expected + rng.random())
    draws = rng.random((count, 2 + 2 * TRIES))
    found, windows = [], None
    for draw in draws:
        place = None
        if draw[0] < hard:
            windows = windows or _windows(newest(), boxes, size, key)
            place = windows.at(float(draw[1]))
        if place is None:
            corners = (draw[2:].reshape(TRIES, 2) * (np.array(shape) - size + 1)).astype(int)
            clear = np.flatnonzero(_clear(boxes, corners[:, 0], corners[:, 1], size))
            place = Place(int(corners[clear[0], 0]), int(corners[clear[0], 1])) if len(clear) else None
        if place is not None:
            found.append(place)
    return found


def structure(frame: np.ndarray) -> np.ndarray:
    """frame (H, W) counts. Returns how steep it is, (H, W) float32: the gradient after a median over 3 x 3 (dead pixels), the high-pass of the network's input
    and a blur. Not squared, or the steepest edge would be all that is ever drawn."""
    smooth = cv2.GaussianBlur(high_pass(cv2.medianBlur(frame, 3).astype(np.float32)), (0, 0), SMOOTH)
    return cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))


@dataclass(frozen=True)
class _Windows:
    """Places on a lattice; weights: (n,) how probable each is, 0 in and near targets."""

    tops: np.ndarray
    lefts: np.ndarray
    weights: np.ndarray

    def at(self, draw: float) -> Place | None:
        """The place that a draw from 0..1 falls on; None where no place has any structure."""
        total = np.cumsum(self.weights)
        if not len(total) or total[-1] <= 0:
            return None
        i = min(int(np.searchsorted(total, draw * total[-1], side="right")), len(total) - 1)
        return Place(int(self.tops[i]), int(self.lefts[i]), True)


def _windows(frame: np.ndarray, boxes: ListOf[Box], size: int, key: Key) -> _Windows:
    """A window's weight is its structure above that of the frame's median window, which noise alone seldom exceeds by much."""
    step = max(size // 4, 1)
    rng = np.random.default_rng([*key, 0, 0])
    spans = [n - size + 1 for n in frame.shape]
    tops, lefts = (np.arange(int(rng.integers(min(step, span))), span, step) for span in spans)
    tops, lefts = (a.ravel() for a in np.meshgrid(tops, lefts, indexing="ij"))
    total = cv2.integral(structure(frame), sdepth=cv2.CV_64F)
    steep = (
        total[tops + size, lefts + size] - total[tops, lefts + size] - total[tops + size, lefts] + total[tops, lefts]
    )
    weights = np.where(_clear(boxes, tops, lefts, size), np.maximum(steep - np.median(steep), 0.0), 0.0)
    return _Windows(tops, lefts, weights)


def _clear(boxes: ListOf[Box], tops: np.ndarray, lefts: np.ndarray, size: int) -> np.ndarray:
    """(n,) bool: which places keep APART from targets and regions to ignore."""
    clear = np.ones(len(tops), bool)
    for box in boxes:
        if box.label in (TARGET, IGNORE):
            clear &= ~np.asarray(belongs(box, tops - APART, lefts - APART, size + 2 * APART))
    return clear
