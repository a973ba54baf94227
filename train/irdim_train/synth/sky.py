"""Sky, clouds, ground and sun: radiance in counts at any frame, in any window of the sensor."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from irdim_train.synth.options import SynthOptions
from irdim_train.synth.textures import OPTICS, Texture, Window, behind_optics, clouds, fractal

PERIOD = 2.0  # a layer of a sequence's own repeats after this many frame sides
GRADIENT = 20.0  # sigmas of noise; how much warmer the sky is at the lower border than far above
PEDESTAL = 0.2  # of the range; the radiance of the clear sky far above
GROUND = 25.0  # sigmas of noise; how much warmer the ground is than the sky far above
GROUND_TEXTURE = 6.0  # sigmas of noise, standard deviation
SKYLINE = 3.0  # px, standard deviation of the skyline's height
GLOW = 0.15  # of the shorter frame side, sigma of the sun's glow


@dataclass(frozen=True)
class Layer:
    """A layer of cloud. opaque: 0..1; level: counts over the pedestal; origin and wind: (dy, dx) px, px per frame."""

    texture: Texture
    opaque: float
    level: float
    origin: np.ndarray
    wind: np.ndarray

    def place(self, frame: int, y: float, x: float) -> tuple[float, float]:
        """Where in the texture a place of the sky (px of frame 0) is."""
        top, left = self.origin + np.array((y, x)) - self.wind * frame
        return float(top), float(left)


class Sky:
    """Radiance in counts, without sensor noise. Layers lie from the farthest to the nearest."""

    def __init__(
        self, options: SynthOptions, rng: np.random.Generator, textures: Sequence[Texture] | None = None
    ) -> None:
        """textures: shared ones to choose from; by default every layer gets its own."""
        self._options, self._shape = options, options.shape
        self.pedestal = PEDESTAL * 2**options.bits
        self.winds = [_any_direction(rng) * options.wind * rng.uniform(0.5, 1.0) for _ in range(options.layers)]
        self.sun = np.array(options.shape) * (
            options.horizon if options.horizon else rng.uniform(0.2, 0.8),
            rng.uniform(0.2, 0.8),
        )
        for_clouds, for_ground = rng.spawn(2)
        self._layers = self._clouds(for_clouds, textures) if options.clouds else []
        self._ground = _Ground(options, self.pedestal, for_ground) if options.horizon else None

    def _clouds(self, rng: np.random.Generator, textures: Sequence[Texture] | None) -> list[Layer]:
        options = self._options
        if textures is None:
            period = (int(np.ceil(PERIOD * options.height)), int(np.ceil(PERIOD * options.width)))
            own = clouds(options.layers, period, options.edges, self._shape, rng)
        else:
            own = [textures[i] for i in rng.choice(len(textures), options.layers, options.layers > len(textures))]
        return [
            Layer(
                texture,
                opaque=rng.uniform(0.5, 1.0),
                level=options.clouds * options.sigma * rng.uniform(0.6, 1.0),
                origin=rng.uniform(0, texture.shape),
                wind=wind,
            )
            for texture, wind in zip(own, self.winds, strict=True)
        ]

    def radiance(self, frame: int, shift: np.ndarray, window: Window) -> np.ndarray:
        """(h, w) float32 counts. shift: (dy, dx) px, how far the sky has moved in the frame since frame 0."""
        top, left = window.top - float(shift[0]), window.left - float(shift[1])
        shape = (window.height, window.width)
        image = np.empty(shape, np.float32)  # over the pedestal, until the ground comes in
        image[:] = self._clear(top + 0.5 + np.arange(window.height))[:, None] - self.pedestal
        for layer in self._layers:
            gains = (layer.opaque, layer.opaque * layer.level)
            opacity, glow = layer.texture.window(*layer.place(frame, top, left), shape, gains)
            image *= np.subtract(1, opacity, out=opacity)
            image += glow
        if self._options.glint:
            image += self._glow(top, left, shape)
        image += np.float32(self.pedestal)
        return image if self._ground is None else self._ground.cover(image, top, left)

    def clear_mean(self) -> float:
        """Mean radiance of the clear sky over the first frame, counts."""
        return float(self._clear(np.arange(self._shape[0]) + 0.5).mean())

    def transmission(self, frame: int, shift: np.ndarray, place: np.ndarray, behind: int) -> float:
        """How much of the light of a place (y, x) in the frame comes through the `behind` nearest layers, 0..1."""
        y, x = place - shift - 0.5
        nearest = self._layers[len(self._layers) - behind :]
        through = [1 - layer.opaque * layer.texture.at(*layer.place(frame, y, x))[0] for layer in nearest]
        return float(np.clip(np.prod(through), 0, 1))

    def _clear(self, y: np.ndarray) -> np.ndarray:
        """Warmer towards the lower border: the longer way through the air."""
        height = self._shape[0]
        below = np.minimum((y - height) / height, 1.0)
        return self.pedestal + GRADIENT * self._options.sigma * np.exp(below)

    def _glow(self, top: float, left: float, shape: tuple[int, int]) -> np.ndarray:
        spread = GLOW * min(self._shape)
        down, across = (
            np.exp(-0.5 * ((start + 0.5 + np.arange(n) - at) / spread) ** 2)
            for start, n, at in zip((top, left), shape, self.sun, strict=True)
        )
        return (self._options.glint * self._options.sigma * np.outer(down, across)).astype(np.float32)


class _Ground:
    """What lies below the horizon: warm, rough, with a ragged skyline."""

    def __init__(self, options: SynthOptions, pedestal: float, rng: np.random.Generator) -> None:
        assert options.horizon is not None
        self._height = options.horizon * options.height
        self._mean, self._spread = pedestal + GROUND * options.sigma, GROUND_TEXTURE * options.sigma
        period = (2 * options.height, 2 * options.width)
        self._texture = Texture(behind_optics(fractal(period, 2.2, rng))[None], options.shape)
        ragged = fractal((8, period[1]), 2.0, rng)[0]
        self._skyline = SKYLINE * ragged / max(float(ragged.std()), 1e-6)

    def cover(self, image: np.ndarray, top: float, left: float) -> np.ndarray:
        """image with the ground in front of it. top, left: place of its first pixel in the sky, px."""
        columns = left + np.arange(image.shape[1])
        skyline = self._height + np.interp(
            columns, np.arange(len(self._skyline)), self._skyline, period=len(self._skyline)
        )
        below = ((top + 0.5 + np.arange(image.shape[0]))[:, None] - skyline) / OPTICS
        ground = self._mean + self._spread * self._texture.window(top, left, image.shape)[0]
        return (image + ndtr(below).astype(np.float32) * (ground - image)).astype(np.float32)


def _any_direction(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.sin(angle), np.cos(angle)])
