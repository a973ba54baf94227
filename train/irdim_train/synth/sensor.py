"""From radiance to counts: fixed pattern, noise, dead and flickering pixels, rounding."""

import math
from typing import Any

import numpy as np

from irdim.boxes import INTERFERENCE, Box
from irdim_train.synth.options import SynthOptions

FLICKER = 0.15  # chance per frame that a flickering pixel changes its state
BAD_BOX = 3.0  # px, side of a bad pixel's box


class Sensor:
    """Its pattern and its bad pixels are drawn once, its noise on every frame."""

    def __init__(self, options: SynthOptions, rng: np.random.Generator, noise: np.random.Generator) -> None:
        shape, sigma = options.shape, options.sigma
        self._noise, self._top = noise, 2**options.bits - 1
        self._dtype: type[Any] = np.uint8 if options.bits == 8 else np.uint16
        self._read_noise = math.sqrt(sigma**2 - 1 / 12)  # rounding adds the rest
        pixels, columns = rng.standard_normal(shape), rng.standard_normal(shape[1])
        # two thirds of the pattern's variance by pixel, a third by column
        self.pattern = (
            options.fixed_pattern * sigma * (math.sqrt(2 / 3) * pixels + math.sqrt(1 / 3) * columns)
        ).astype(np.float32)
        count = round(options.bad_pixels * math.prod(shape))
        places = rng.choice(math.prod(shape), count, replace=False)
        self.bad = np.stack(np.unravel_index(places, shape), axis=1)  # (K, 2) row, column
        self.flickers = np.arange(count) % 2 == 1
        changes = rng.uniform(size=(options.frames, count)) < FLICKER
        lit = (np.cumsum(changes, axis=0) + rng.integers(2, size=count)) % 2 == 1
        self._lit = lit & self.flickers
        self._step = sigma * rng.uniform(5, 15, count) * rng.choice([-1, 1], count)
        self._stuck = rng.uniform(0.05, 0.6, count) * self._top

    def expose(self, radiance: np.ndarray, frame: int) -> np.ndarray:
        """(H, W) float32 radiance in counts to what the sensor gives, uint8 or uint16. Frames must come in order."""
        counts = radiance + self.pattern
        counts += np.float32(self._read_noise) * self._noise.standard_normal(radiance.shape, np.float32)
        rows, columns = self.bad.T
        counts[rows, columns] += np.where(self._lit[frame], self._step, 0)
        dead = ~self.flickers
        counts[rows[dead], columns[dead]] = self._stuck[dead]
        return np.clip(np.rint(counts), 0, self._top).astype(self._dtype)

    def boxes(self, frame: int) -> list[Box]:
        """Interference: every dead pixel, and the flickering ones that are lit."""
        shown = ~self.flickers | self._lit[frame]
        return [
            Box(column + 0.5, row + 0.5, BAD_BOX, BAD_BOX, INTERFERENCE) for row, column in self.bad[shown].tolist()
        ]
