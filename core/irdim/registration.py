"""Whole-frame translation between two frames, to a few hundredths of a pixel; a scene without texture gives "no motion", never NaN.

First whole pixels from a noise-weighted cross-correlation, then Gauss-Newton on the smoothed frames (Lucas & Kanade 1981). A peak that does
not stand out of the correlation surface, or a fit that its own noise could have made, counts as no motion.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import cv2
import numpy as np
import scipy

PEAK = 8.0  # robust sigmas that a correlation peak must stand out of its surface
LARGEST = 150_000  # pixels; a frame of more is registered at half its size, or less: what counts is texture, of which it has enough
SMOOTH = 1.5  # px; noise goes, texture stays
REACH = 40  # px; the largest shift that is looked for in either direction
MARGIN = 12  # px left out at the border, where the large-scale part is not the same in two frames
LARGEST_ERROR = 0.35  # px; a fit less certain than this is no motion
RUNAWAY = 2.5  # px from the whole-pixel peak; a fit that goes further trusts neither
CELL = 4  # px; what is gained by a motion is summed over such squares
FEW = 3  # targets that may move against an empty sky without being taken for it
LEFT = 0.25  # share of the gain that the rest of the scene must have
CERTAIN = 4.0  # times what chance would leave there; noise reaches 2.7, a scene 8 and more
SMALLEST = 32  # px; a frame with a shorter side is not registered


T = TypeVar("T")


@dataclass(frozen=True)
class Texture:
    """What registration keeps of a frame, so that a frame in a ring is prepared once. Its own pixels are `binned` x `binned` of the frame's."""

    binned: int
    image: np.ndarray  # (H, W) float32, smoothed, without its large scales
    slope_y: np.ndarray  # its central differences, per px
    slope_x: np.ndarray
    spectrum: np.ndarray  # its windowed real Fourier transform


def texture(frame: np.ndarray) -> Texture:
    """Prepare a frame (H, W), any real dtype, for `estimate_shift`."""
    image = frame.astype(np.float32)
    binned = 1
    while image.size > LARGEST * binned**2:
        binned *= 2
    if binned > 1:
        height, width = (n - n % binned for n in image.shape)
        image = cv2.resize(image[:height, :width], (width // binned, height // binned), interpolation=cv2.INTER_AREA)
    left = SMOOTH**2 - (binned**2 - 1) / 12  # binning has smoothed already, by 8 and more enough
    smooth = cv2.GaussianBlur(image, (0, 0), math.sqrt(left) / binned) if left > 0 else image
    band = smooth - _large_scales(image, max(6 * SMOOTH / binned, SMOOTH))
    limit = 6 * float(np.median(np.abs(band[::4, ::3])))
    np.clip(band, -limit, limit, out=band)  # one hot pixel or one bright target must not decide
    slope_y, slope_x = (cv2.Sobel(band, cv2.CV_32F, *order, ksize=1, scale=0.5) for order in ((0, 1), (1, 0)))
    return Texture(
        binned, band, slope_y, slope_x, scipy.fft.rfft2(band * _window(band.shape), _padded(band.shape), workers=1)
    )


def _large_scales(image: np.ndarray, sigma: float) -> np.ndarray:
    """image (H, W) float32 smoothed over `sigma` px: two box filters, which come near a Gaussian at a fraction of its time."""
    size = (round(math.sqrt(6 * sigma**2 + 1)) | 1,) * 2
    return cv2.blur(cv2.blur(image, size), size)


def estimate_shift(older: Texture, newer: Texture) -> tuple[float, float]:
    """Content motion (dy, dx) in px from `older` to `newer`: newer(y, x) = older(y - dy, x - dx)."""
    shape = older.image.shape
    if shape != newer.image.shape or min(shape) < SMALLEST:
        return 0.0, 0.0
    whole = _correlation_peak(older, newer)
    dy, dx = (0.0, 0.0) if whole is None else _refine(older.image, newer, whole)
    return dy * newer.binned, dx * newer.binned


Motion = Callable[[T, T], tuple[float, float]]  # from the older frame to the newer, as `estimate_shift`


def stack_shifts(stack: Sequence[T], link: Motion[T], direct: Motion[T]) -> np.ndarray:
    """(n - 1, 2) float32 px: content motion (dy, dx) from each older frame to the newest.

    stack: n frames, newest first; link: the motion between neighbours; direct: between any two. Where the links are found their sum is taken: in a sequence all
    but one of a stack are those of the stack before, and neighbours lie nearer each other. Where one is not (a bad frame, a drift too slow to be told from
    noise between neighbours), the older frame is held against the newest itself.
    """
    links = np.array([link(older, newer) for newer, older in pairwise(stack)])
    shifts = np.cumsum(links, axis=0)
    lost = np.logical_or.accumulate(~links.any(axis=1))
    for k in np.flatnonzero(lost[1:]) + 1:  # the first link is direct
        found = direct(stack[k + 1], stack[0])
        shifts[k] = found if any(found) else shifts[k]
    return shifts.astype(np.float32)


@lru_cache(maxsize=8)
def _window(shape: tuple[int, int]) -> np.ndarray:
    return np.outer(np.hanning(shape[0]), np.hanning(shape[1])).astype(np.float32)


def _padded(shape: tuple[int, ...]) -> tuple[int, int]:
    return scipy.fft.next_fast_len(shape[0], True), scipy.fft.next_fast_len(shape[1], True)


def _correlation_peak(older: Texture, newer: Texture) -> tuple[int, int] | None:
    """Whole-pixel (dy, dx), or None where no peak stands out."""
    cross = newer.spectrum * np.conj(older.spectrum)
    strength = np.abs(cross)
    floor = float(strength.mean())
    if not np.isfinite(floor) or floor <= 0:
        return None
    height, width = _padded(older.image.shape)
    # whitened where texture stands above the mean strength, left as it is where noise rules
    strength += floor
    cross *= np.reciprocal(strength, out=strength)
    surface = scipy.fft.irfft2(cross, (height, width), overwrite_x=True, workers=1)
    reach_y, reach_x = (min(REACH // older.binned, n // 2 - 1) for n in (height, width))
    near = surface.take(range(-reach_y, reach_y + 1), 0, mode="wrap").take(range(-reach_x, reach_x + 1), 1, mode="wrap")
    middle = _median(near)
    spread = 1.4826 * _median(np.abs(near - middle))
    y, x = np.unravel_index(int(np.argmax(near)), near.shape)
    if not spread > 0 or near[y, x] - middle < PEAK * spread:
        return None
    return int(y) - reach_y, int(x) - reach_x


def _median(odd: np.ndarray) -> float:
    """Of an odd number of values; np.median, which asks for more, takes longer than sorting them."""
    return float(np.sort(odd, axis=None)[odd.size // 2])


def _refine(older: np.ndarray, newer: Texture, whole: tuple[int, int]) -> tuple[float, float]:
    """Gauss-Newton from the whole-pixel peak, with the slopes of the newer frame; (0, 0) where it runs away or is too uncertain."""
    dy, dx = map(float, whole)
    inside = _overlap(older.shape, dy, dx, MARGIN // newer.binned)
    if inside is None:
        return 0.0, 0.0
    image, gy, gx = newer.image[inside], newer.slope_y[inside], newer.slope_x[inside]
    normal = np.array([[_dot(gy, gy), _dot(gy, gx)], [_dot(gy, gx), _dot(gx, gx)]])
    least, most = np.linalg.eigvalsh(normal)
    if not least > 1e-6 * most:
        return 0.0, 0.0
    inverse = np.linalg.inv(normal)
    residual = image
    for _ in range(8):
        residual = image - _moved(older, dy, dx, inside)
        step = -inverse @ np.array([_dot(gy, residual), _dot(gx, residual)])
        dy, dx = dy + float(step[0]), dx + float(step[1])
        if np.hypot(dy - whole[0], dx - whole[1]) > RUNAWAY:
            return 0.0, 0.0
        if np.abs(step).max() * newer.binned < 0.01:
            break
    # smoothed noise is correlated over about 4 SMOOTH px of the frame, hence the factor
    error = 4 * SMOOTH * float(np.sqrt(np.trace(inverse) * _variance(residual)))
    if not error < LARGEST_ERROR:
        return 0.0, 0.0
    # held against the opposite motion, which interpolates, and so lowers the noise, alike
    against = image - _moved(older, -dy, -dx, inside)
    explained = against**2 - residual**2
    return (dy, dx) if _is_everywhere(explained, max(CELL // newer.binned, 1)) else (0.0, 0.0)


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of the products of two images; not by BLAS, whose threads would take the cores from the engine."""
    return float(np.einsum("ij,ij", a, b))


def _variance(image: np.ndarray) -> float:
    return _dot(image, image) / image.size - float(image.mean()) ** 2


def _moved(image: np.ndarray, dy: float, dx: float, inside: tuple[slice, slice]) -> np.ndarray:
    """The inside of an image (H, W) float32 that is moved by (dy, dx) px, bilinearly; its border shows where nothing comes in."""
    (top, bottom), (left, right) = ((s.start, s.stop) for s in inside)
    middle = (left + right - 1) / 2 - dx, (top + bottom - 1) / 2 - dy
    return cv2.getRectSubPix(image, (right - left, bottom - top), middle)


def _is_everywhere(explained: np.ndarray, side: int) -> bool:
    """Whether a motion explains the scene, or only a few targets that move before an empty sky.

    explained: (h, w), by how much the motion lowers the squared difference of the frames at each pixel, against the opposite motion; side: of a
    cell, in its pixels.
    Without the FEW places that gain most, LEFT of the gain must be left, and more than cells without a common cause would sum up to.
    """
    h, w = (n // side for n in explained.shape)
    cells = cv2.resize(
        explained[: h * side, : w * side], (w, h), interpolation=cv2.INTER_AREA
    )  # means, of which all are alike
    total = float(cells.sum())
    for _ in range(FEW):
        y, x = np.unravel_index(int(cv2.blur(cells, (3, 3)).argmax()), cells.shape)
        cells[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 0
    left = float(cells.sum())
    return left > LEFT * total and left > CERTAIN * float(np.linalg.norm(cells))


def _overlap(shape: tuple[int, ...], dy: float, dx: float, margin: int) -> tuple[slice, slice] | None:
    """The part of a frame that both cover after the move, without its margin."""
    slices = []
    for n, d in zip(shape, (dy, dx), strict=True):
        low, high = margin + max(int(np.ceil(d)), 0), n - margin + min(int(np.floor(d)), 0)
        if high - low < SMALLEST // 2:
            return None
        slices.append(slice(low, high))
    return slices[0], slices[1]
