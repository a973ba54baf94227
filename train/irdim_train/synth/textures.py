"""Fractal textures that are seen through windows at any sub-pixel place.

A texture is periodic and behind the optics, so it holds next to nothing near the sampling limit, and six taps of a windowed sinc move it by
any part of a pixel without blurring it: whatever a detector sees in a difference is the scene's doing.
"""

import functools
from typing import NamedTuple

import cv2
import numpy as np
import scipy.fft

OPTICS = 0.7  # px, sigma of the optics' point spread
SLOPES = (2.8, 3.4)  # power over spatial frequency, k ** -slope in two dimensions; 8/3 is a turbulent scalar's
SOFT, HARD = (0.2, 1.2), (0.03, 0.15)  # width of a cloud's edge, in standard deviations of its form
HARD_SHARE = 1 / 3  # of the clouds where edges are mixed
STRUCTURE = 0.35  # of a cloud's radiance over it
TAPS = 6


class Window(NamedTuple):
    """Pixels of the sensor: rows top..top + height - 1, columns left..left + width - 1."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def moved(self, dy: int, dx: int) -> "Window":
        return Window(self.top + dy, self.left + dx, self.height, self.width)


class Texture:
    """Periodic maps (C, H, W) float32 that windows of up to `reach` (h, w) px look at."""

    def __init__(self, maps: np.ndarray, reach: tuple[int, int]) -> None:
        self.shape = maps.shape[1:]
        self._maps = np.pad(maps, ((0, 0), *((0, n + TAPS) for n in reach)), mode="wrap")

    def window(
        self, top: float, left: float, shape: tuple[int, ...], gains: tuple[float, ...] = (1.0,)
    ) -> list[np.ndarray]:
        """C images (h, w) float32, each times its gain: rows top, top + 1, ..., columns left, left + 1, ..., both any real number of px."""
        places, taps = [], []
        for start, length, period in zip((top, left), shape, self.shape, strict=True):
            whole = int(np.floor(start))
            first = (whole - TAPS // 2 + 1) % period
            places.append(slice(first, first + length + TAPS - 1))
            taps.append(_sinc(round(start - whole, 6)))
        return [
            cv2.sepFilter2D(block, -1, taps[1], taps[0] * np.float32(gain), anchor=(0, 0))[: shape[0], : shape[1]]
            for block, gain in zip(self._maps[:, places[0], places[1]], gains, strict=True)
        ]

    def at(self, top: float, left: float) -> np.ndarray:
        """(C,) float32: the nearest pixel's values."""
        row, column = (round(p) % n for p, n in zip((top, left), self.shape, strict=True))
        return self._maps[:, row, column]


@functools.lru_cache(maxsize=4096)  # windows of one scene differ by whole pixels
def _sinc(part: float) -> np.ndarray:
    """Taps of a Lanczos window that move by 0 <= part < 1 px; their sum is 1."""
    x = np.arange(TAPS) - (TAPS // 2 - 1) - part
    taps = np.sinc(x) * np.sinc(x / (TAPS // 2))
    return (taps / taps.sum()).astype(np.float32)


def fractal(shape: tuple[int, int], slope: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) float32, periodic, mean 0, variance 1, its power falling as k ** -slope."""
    k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    k[0, 0] = np.inf
    spectrum = scipy.fft.rfft2(rng.standard_normal(shape, np.float32)) * (k ** (-slope / 2)).astype(np.float32)
    field = scipy.fft.irfft2(spectrum, shape)
    return field / np.float32(field.std(dtype=np.float64))


def clouds(
    count: int, shape: tuple[int, int], edges: str, reach: tuple[int, int], rng: np.random.Generator
) -> list[Texture]:
    """Textures of cloud: opacity 0..1, and radiance of a cloud of unit radiance (its opacity times its structure), behind the optics.

    shape: the least period, px. Each cloud's structure is another one's form, moved."""
    shape = tuple(scipy.fft.next_fast_len(n, True) for n in shape)  # type: ignore[assignment]
    forms = [fractal(shape, rng.uniform(*SLOPES), rng) for _ in range(max(count, 2))]
    textures = []
    for i in range(count):
        hard = edges == "hard" or (edges == "mixed" and rng.uniform() < HARD_SHARE)
        cover, softness = rng.uniform(0.3, 0.6), rng.uniform(*(HARD if hard else SOFT))
        level = np.quantile(forms[i][::3, ::3], 1 - cover)
        ramp = np.clip((forms[i] - np.float32(level)) / np.float32(softness), 0, 1)
        opacity = ramp * ramp * (3 - 2 * ramp)
        structure = np.roll(forms[i - 1], rng.integers(0, shape), (0, 1))
        glow = opacity * (1 + np.float32(STRUCTURE) * structure)
        textures.append(Texture(np.stack([behind_optics(opacity), behind_optics(glow)]), reach))
    return textures


def behind_optics(image: np.ndarray) -> np.ndarray:
    """image (H, W), periodic, blurred by the optics' point spread."""
    margin = 6
    blurred = cv2.GaussianBlur(np.pad(image, margin, mode="wrap"), (0, 0), OPTICS)
    return blurred[margin:-margin, margin:-margin]


@functools.lru_cache(maxsize=2)
def shared_clouds(
    key: tuple[int, ...], count: int, side: int, edges: str, reach: tuple[int, int]
) -> tuple[Texture, ...]:
    """Large textures that many short scenes look at through windows of their own; those of one key are made once a process."""
    return tuple(clouds(count, (side, side), edges, reach, np.random.default_rng(key)))
