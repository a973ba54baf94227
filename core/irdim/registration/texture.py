"""What registration sees of a frame: smoothed, without its large scales, and no larger than it needs."""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import scipy

LARGEST = 150_000  # pixels; a frame of more is registered at half its size, or less: what counts is texture, of which it has enough
TEXTURED = (
    0.6  # share of the pixels with any texture; with hardly more than half, the median of all would be next to nothing
)
SMOOTH = 1.5  # px; noise goes, texture stays


@dataclass(frozen=True)
class Texture:
    """What registration keeps of a frame, so that a frame in a ring is prepared once. Its own pixels are `binned` x `binned` of the frame's."""

    binned: int
    image: np.ndarray  # (H, W) float32, contiguous, smoothed, without its large scales
    spectrum: np.ndarray  # its windowed real Fourier transform


def texture(frame: np.ndarray) -> Texture:
    """Prepare a frame (H, W), any real dtype, of the range of 16 bits at most, for `estimate_shift`."""
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
    usual = np.abs(band[::4, ::3]).ravel()
    if (
        0 < np.count_nonzero(usual) < TEXTURED * usual.size
    ):  # a sky that is clipped to black would hide the ground below it
        usual = usual[usual > 0]
    usual.partition(usual.size // 2)
    limit = 6 * float(usual[usual.size // 2])
    np.clip(band, -limit, limit, out=band)  # one hot pixel or one bright target must not decide
    return Texture(binned, band, scipy.fft.rfft2(band * _window(band.shape), padded(band.shape), workers=1))


def _large_scales(image: np.ndarray, sigma: float) -> np.ndarray:
    """image (H, W) float32 smoothed over `sigma` px: two box filters, which come near a Gaussian at a fraction of its time."""
    size = (round(math.sqrt(6 * sigma**2 + 1)) | 1,) * 2
    return cv2.blur(cv2.blur(image, size), size)


@lru_cache(maxsize=8)
def _window(shape: tuple[int, int]) -> np.ndarray:
    return np.outer(np.hanning(shape[0]), np.hanning(shape[1])).astype(np.float32)


def padded(shape: tuple[int, ...]) -> tuple[int, int]:
    """The size of a texture's image in its spectrum."""
    return scipy.fft.next_fast_len(shape[0], True), scipy.fft.next_fast_len(shape[1], True)
