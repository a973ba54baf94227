"""Sky and clouds: fractal layers that move by any part of a pixel, seen through the optics.

A layer is a periodic texture, kept as its Fourier transform, so a shift is exact and blurs nothing: a texture moved by half a pixel is as
sharp as one that rests, and whatever a detector sees in a difference is the scene's doing.
"""

import math

import numpy as np
import scipy.fft

from irdim_train.synth.options import SynthOptions

LAYERS = 2
PERIOD = 2.0  # a layer repeats after this many frame sides
SLOPES = (2.8, 3.4)  # power over spatial frequency, k ** -slope in two dimensions; 8/3 is a turbulent scalar's
OPTICS = 0.7  # px, sigma of the optics' point spread
GRADIENT = 20.0  # sigmas of noise; how much warmer the sky is at the lower border than far above
PEDESTAL = 0.2  # of the range; the radiance of the clear sky far above


class Sky:
    """Radiance in counts, without sensor noise."""

    def __init__(self, options: SynthOptions, rng: np.random.Generator) -> None:
        self._shape = options.shape
        self._pedestal = PEDESTAL * 2**options.bits
        self._gradient = GRADIENT * options.sigma
        self.winds = [_any_direction(rng) * options.wind * rng.uniform(0.5, 1.0) for _ in range(LAYERS)]
        self._layers = [_Layer(options, rng) for _ in range(LAYERS)] if options.clouds else []

    def radiance(self, frame: int, shift: np.ndarray) -> np.ndarray:
        """(H, W) float32 counts. shift: (dy, dx) px, how far the sky has moved in the frame since frame 0."""
        height, width = self._shape
        below = (np.arange(height) + 0.5 - shift[0] - height) / height  # 0 at the first frame's lower border
        column = self._pedestal + self._gradient * np.exp(below)
        image = np.repeat(column[:, None], width, axis=1).astype(np.float32)
        for layer, wind in zip(self._layers, self.winds, strict=False):
            opacity, glow = layer.at(shift + wind * frame, self._shape)
            image = image * (1 - opacity) + (opacity * np.float32(self._pedestal) + glow)
        return image


class _Layer:
    """A layer of cloud: its opacity, and its radiance over the pedestal times that opacity, both behind the optics."""

    def __init__(self, options: SynthOptions, rng: np.random.Generator) -> None:
        shape = [scipy.fft.next_fast_len(math.ceil(PERIOD * n), True) for n in options.shape]
        self._rows, self._columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
        cover, softness, opaque = rng.uniform(0.3, 0.6), rng.uniform(0.2, 1.2), rng.uniform(0.5, 1.0)
        form, texture = (self._fractal(shape, rng) for _ in range(2))
        ramp = np.clip((form - np.quantile(form, 1 - cover)) / softness, 0, 1)
        opacity = opaque * ramp * ramp * (3 - 2 * ramp)
        level = options.clouds * options.sigma * rng.uniform(0.6, 1.0)
        optics = np.exp(-2 * (np.pi * OPTICS) ** 2 * (self._rows**2 + self._columns**2))
        self._shape = shape
        self._opacity, self._glow = (
            (scipy.fft.rfft2(a) * optics).astype(np.complex64)
            for a in (opacity, opacity * level * (1 + 0.35 * texture))
        )

    def _fractal(self, shape: list[int], rng: np.random.Generator) -> np.ndarray:
        """A periodic random field of mean 0 and variance 1, whose power falls as k ** -slope."""
        k = np.hypot(self._rows, self._columns)
        k[0, 0] = np.inf
        spectrum = scipy.fft.rfft2(rng.standard_normal(shape)) * k ** (-rng.uniform(*SLOPES) / 2)
        field = scipy.fft.irfft2(spectrum, shape)
        return (field - field.mean()) / field.std()

    def at(self, shift: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Opacity (0..1) and glow (counts), (H, W) float32, moved by (dy, dx) px."""
        move = np.exp(-2j * np.pi * (self._rows * shift[0])) * np.exp(-2j * np.pi * (self._columns * shift[1]))
        move = move.astype(np.complex64)
        opacity, glow = (
            scipy.fft.irfft2(a * move, self._shape)[: shape[0], : shape[1]] for a in (self._opacity, self._glow)
        )
        return np.clip(opacity, 0, 1), glow


def _any_direction(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.sin(angle), np.cos(angle)])


def platform_shifts(options: SynthOptions, rng: np.random.Generator) -> np.ndarray:
    """(T, 2) float64: (dy, dx) px that the sky has moved in the frame since frame 0. A steady pan, mostly sideways, that turns back before
    the sky repeats, and jitter on every frame but the first."""
    angle = rng.uniform(-0.35, 0.35) + np.pi * rng.integers(2)
    way = options.drift * np.arange(options.frames)
    reach = 2.0 * max(options.shape)
    way = reach - np.abs(way % (2 * reach) - reach)
    shifts = way[:, None] * np.array([np.sin(angle), np.cos(angle)])
    shifts[1:] += rng.normal(0, options.jitter, (options.frames - 1, 2))
    return shifts
