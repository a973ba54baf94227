"""Point spreads, integrated over the pixels, at any sub-pixel place and smeared along a motion."""

import functools

import numpy as np
from scipy.special import j1, ndtr

GAUSSIAN_REACH, AIRY_REACH = 4.5, 6.6  # sigmas; a spot is drawn this far (Airy: to its second dark ring)
FIRST_ZERO = (
    2.9  # sigmas; an Airy disc is about as wide as a Gaussian of that sigma (0.42 to 1.22 wavelengths times f-number)
)
FINE = 5  # samples a pixel's side is integrated with
STRIDE = 0.25  # px between the places of a smeared spot


def smear(motion: np.ndarray) -> np.ndarray:
    """(K, 2) places about (0, 0), evenly along a straight `motion` (dy, dx) px."""
    count = 1 + 2 * int(np.ceil(np.hypot(*motion) / STRIDE / 2))
    return ((np.arange(count) + 0.5) / count - 0.5)[:, None] * motion


def gaussian(
    centres: np.ndarray, sigmas: tuple[float, float], top: int, left: int, shape: tuple[int, int]
) -> np.ndarray:
    """(h, w) float32: mean of Gaussian spots at `centres` (K, 2) (y, x) px, 1 in a pixel whose middle an unsmeared spot is on."""
    rows, columns = (
        np.diff(ndtr((np.arange(first, first + n + 1) - centres[:, axis : axis + 1]) / sigma), axis=1)
        / (1 - 2 * ndtr(-0.5 / sigma))
        for axis, (first, n, sigma) in enumerate(zip((top, left), shape, sigmas, strict=True))
    )
    return (rows.T @ columns / len(centres)).astype(np.float32)


def airy(centres: np.ndarray, sigma: float, top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
    """The same with Airy discs, whose first dark ring has the radius FIRST_ZERO x sigma."""
    y, x = ((np.arange(n * FINE) + 0.5) / FINE + first for first, n in zip((top, left), shape, strict=True))
    radius = np.hypot(y[None, :, None] - centres[:, :1, None], x[None, None, :] - centres[:, 1:, None])
    fine = _intensity(radius / (FIRST_ZERO * sigma)).mean(axis=0)
    pixels = fine.reshape(shape[0], FINE, shape[1], FINE).mean(axis=(1, 3))
    return (pixels / _in_middle(sigma)).astype(np.float32)


def _intensity(radius: np.ndarray) -> np.ndarray:
    """(2 J1(v) / v)^2 at a radius in units of the first dark ring's."""
    places, values = _airy_table()
    return np.interp(radius, places, values)


@functools.cache
def _airy_table() -> tuple[np.ndarray, np.ndarray]:
    places = np.linspace(0, 4, 1024)
    v = np.maximum(3.8317059702 * places, 1e-9)
    return places, (2 * j1(v) / v) ** 2


@functools.lru_cache(maxsize=256)
def _in_middle(sigma: float) -> float:
    """What a pixel gets of a disc on its middle."""
    fine = (np.arange(FINE) + 0.5) / FINE - 0.5
    return float(_intensity(np.hypot(fine[:, None], fine) / (FIRST_ZERO * sigma)).mean())
