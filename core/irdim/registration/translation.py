"""Whole-frame translation between two frames, to a few hundredths of a pixel; a scene without texture gives "no motion", never NaN.

First whole pixels from a noise-weighted cross-correlation, then Gauss-Newton on the smoothed frames (Lucas & Kanade 1981). A peak that does
not stand out of the correlation surface, or a fit that its own noise could have made, counts as no motion.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import scipy

from irdim.registration.kernels import Inside, Pair, the_kernels
from irdim.registration.texture import SMOOTH, Texture, padded

PEAK = 8.0  # robust sigmas that a correlation peak must stand out of its surface
REACH = 40  # px; the largest shift that is looked for in either direction
MARGIN = 12  # px left out at the border, where the large-scale part is not the same in two frames
LARGEST_ERROR = 0.35  # px; a fit less certain than this is no motion
LARGEST_ALONG = 1.0  # px; of one direction, judged by texture alone: without any, chance gives 2.5 and more, with little, about twice the error
RUNAWAY = 2.5  # px from the whole-pixel peak; a fit that goes further trusts neither
CELL = 4  # px; what is gained by a motion is summed over such squares
FEW = 3  # targets that may move against an empty sky without being taken for it
LEFT = 0.25  # share of the gain that the rest of the scene must have
CERTAIN = 4.0  # times what chance would leave there; noise reaches 2.7, a scene 8 and more
SMALLEST = 32  # px; a frame with a shorter side is not registered


def estimate_shift(older: Texture, newer: Texture) -> tuple[float, float]:
    """Content motion (dy, dx) in px from `older` to `newer`: newer(y, x) = older(y - dy, x - dx)."""
    shape = older.image.shape
    if shape != newer.image.shape or min(shape) < SMALLEST:
        return 0.0, 0.0
    whole = _correlation_peak(older, newer)
    dy, dx = (0.0, 0.0) if whole is None else _refine(older, newer, whole)
    return dy * newer.binned, dx * newer.binned


def _correlation_peak(older: Texture, newer: Texture) -> tuple[int, int] | None:
    """Whole-pixel (dy, dx), or None where no peak stands out."""
    cross = the_kernels().whitened(newer.spectrum, older.spectrum)
    if cross is None:
        return None
    height, width = padded(older.image.shape)
    reach_y, reach_x = (min(REACH // older.binned, n // 2 - 1) for n in (height, width))
    # of the correlation surface only what is near is transformed back
    columns = scipy.fft.ifft(cross, axis=0, overwrite_x=True, workers=1)
    rows = scipy.fft.irfft(columns.take(range(-reach_y, reach_y + 1), 0, mode="wrap"), width, axis=1, workers=1)
    near = rows.take(range(-reach_x, reach_x + 1), 1, mode="wrap")
    middle = _median(near)
    spread = 1.4826 * _median(np.abs(near - middle))
    y, x = np.unravel_index(int(np.argmax(near)), near.shape)
    if not spread > 0 or near[y, x] - middle < PEAK * spread:
        return None
    return int(y) - reach_y, int(x) - reach_x


def _median(odd: np.ndarray) -> float:
    """Of an odd number of values; np.median, which asks for more, takes longer than sorting them."""
    return float(np.sort(odd, axis=None)[odd.size // 2])


def _refine(older: Texture, newer: Texture, whole: tuple[int, int]) -> tuple[float, float]:
    """From the whole-pixel peak to its part of a pixel. Where that is uncertain in one direction (along a horizon, or bands of cloud), the motion across it,
    and none along it; where it runs away or fails otherwise, that across the strongest texture; (0, 0) where this is too uncertain, too."""
    start = np.array(whole, float)
    fit = _fit(older, newer, start, np.eye(2))
    if fit is None or len(fit.certain) == 1:
        start, across = (start, _strongest(newer)) if fit is None else (fit.motion, fit.certain)
        fit = _fit(older, newer, across[0] * (across[0] @ start), across)
    if fit is None or len(fit.certain) < len(fit.directions):
        return 0.0, 0.0
    dy, dx = map(float, fit.motion)
    return (dy, dx) if _is_everywhere(fit.pair.gain(dy, dx, max(CELL // newer.binned, 1))) else (0.0, 0.0)


@dataclass(frozen=True)
class _Fit:
    """motion: (dy, dx); directions: (n, 2) unit vectors, along which it was sought; certain: (m, 2), along which the two frames show it."""

    pair: Pair
    motion: np.ndarray
    directions: np.ndarray
    certain: np.ndarray


def _strongest(newer: Texture) -> np.ndarray:
    """(1, 2) unit vector (y, x): the direction in which the frame has most texture."""
    image, margin = newer.image, max(MARGIN // newer.binned, 1)
    inside = slice(margin, image.shape[0] - margin), slice(margin, image.shape[1] - margin)
    _, axes = np.linalg.eigh(the_kernels().pair(image, image, inside).slopes())
    return axes.T[1:]


def _fit(older: Texture, newer: Texture, start: np.ndarray, directions: np.ndarray) -> _Fit | None:
    """Gauss-Newton with the slopes of the newer frame."""
    inside = _overlap(older.image.shape, start, max(MARGIN // newer.binned, 1))
    if inside is None:
        return None
    pair = the_kernels().pair(older.image, newer.image, inside)
    slopes = pair.slopes()
    normal = directions @ slopes @ directions.T
    least, most = np.linalg.eigvalsh(normal)[[0, -1]]
    if not least > 1e-6 * most:
        return None
    inverse = np.linalg.inv(normal)
    motion, variance = start, 0.0
    for _ in range(8):
        by_slopes, variance = pair.residual(*motion)
        step = -directions.T @ (inverse @ (directions @ by_slopes))
        motion = motion + step
        if np.hypot(*(motion - start)) > RUNAWAY:
            return None
        if np.abs(step).max() * newer.binned < 0.01:
            break
    # smoothed noise is correlated over about 4 SMOOTH px of the frame, hence the factor
    wide = 4 * SMOOTH * math.sqrt(max(variance, 0.0))
    if not wide * math.sqrt(np.trace(inverse)) < LARGEST_ERROR:
        return None
    # a direction without texture looks certain by the slopes of noise, of which the two frames share none
    shared, axes = np.linalg.eigh(directions @ pair.shared(*motion) @ directions.T)
    axes = axes.T @ directions
    noisy = np.sqrt(np.einsum("ij,jk,ik->i", axes, slopes, axes))
    return _Fit(pair, motion, directions, axes[wide * noisy < LARGEST_ALONG * shared])


def _is_everywhere(cells: np.ndarray) -> bool:
    """Whether a motion explains the scene, or only a few targets that move before an empty sky.

    cells: (h, w), by how much the motion lowers the squared difference of the frames, against the opposite motion; overwritten.
    Without the FEW places that gain most, LEFT of the gain must be left, and more than cells without a common cause would sum up to.
    """
    total = float(cells.sum())
    for _ in range(FEW):
        y, x = np.unravel_index(int(cv2.blur(cells, (3, 3)).argmax()), cells.shape)
        cells[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 0
    left = float(cells.sum())
    return left > LEFT * total and left > CERTAIN * float(np.linalg.norm(cells))


def _overlap(shape: tuple[int, ...], motion: np.ndarray, margin: int) -> Inside | None:
    """The part of a frame that both cover after the move, without its margin."""
    slices = []
    for n, d in zip(shape, motion, strict=True):
        low, high = margin + max(int(np.ceil(d)), 0), n - margin + min(int(np.floor(d)), 0)
        if high - low < SMALLEST // 2:
            return None
        slices.append(slice(low, high))
    return slices[0], slices[1]
