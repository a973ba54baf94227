"""From radiance to counts: patterns, noise, bad pixels, electromagnetic stripes, gain steps, the shutter, rounding."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from irdim.boxes import INTERFERENCE, Box
from irdim_train.synth.options import SynthOptions
from irdim_train.synth.textures import Window

FLICKER = 0.15  # chance per frame that a flickering pixel changes its state
BAD_BOX = 3.0  # px, side of a bad pixel's box
SHUT = 3  # frames that the shutter is closed
GAIN = (0.8, 1.25)  # a step's factor to either side
OFFSET = 0.03  # of the range, a step's offset to either side
STRIPE_FRAMES = (2, 8)  # that a burst lasts
DASH, DASH_APART = (2, 4), (18, 40)  # px long; px from one dash to the next
STRIPE = (4.0, 10.0)  # sigmas of noise


@dataclass(frozen=True)
class Stripe:
    """A burst of electromagnetic interference: a row of dashes that runs along the row. rate: px per frame."""

    begin: int
    frames: int
    row: int
    length: int
    apart: int
    phase: int
    rate: int
    peak: float

    def dashes(self, frame: int, width: int) -> np.ndarray:
        """First columns of its dashes on a frame."""
        if not self.begin <= frame < self.begin + self.frames:
            return np.zeros(0, int)
        return np.arange((self.phase + self.rate * (frame - self.begin)) % self.apart, width - self.length, self.apart)


class Sensor:
    """Its patterns, bad pixels and events are drawn once, its noise on every frame."""

    def __init__(
        self, options: SynthOptions, clear: float, rng: np.random.Generator, noise: np.random.Generator
    ) -> None:
        """clear: mean radiance of the clear sky, at which the noise is `options.sigma`."""
        self._options, self._noise, self._clear = options, noise, clear
        self._top = 2**options.bits - 1
        self._dtype: type[Any] = np.uint8 if options.bits == 8 else np.uint16
        analog = (
            options.sigma**2 * (1 - options.column_noise**2) - 1 / 12
        )  # of the variance; columns and rounding add the rest
        self._read, self._per_count = (1 - options.shot) * analog, options.shot * analog / clear
        for_bad, for_events, self._for_patterns = rng.spawn(3)
        self._draw_bad_pixels(for_bad)
        self._draw_events(for_events)
        self._renewed, self._pattern = -1, np.zeros(0, np.float32)

    def _draw_bad_pixels(self, rng: np.random.Generator) -> None:
        options, pixels = self._options, math.prod(self._options.shape)
        count = round(options.bad_pixels * pixels)
        places = rng.choice(pixels, count, replace=False)
        self.bad = np.stack(np.unravel_index(places, options.shape), axis=1)  # (K, 2) row, column
        self.flickers = np.arange(count) % 2 == 1
        changes = rng.uniform(size=(options.frames, count)) < FLICKER
        lit = (np.cumsum(changes, axis=0) + rng.integers(2, size=count)) % 2 == 1
        self._lit = lit & self.flickers
        self._step = options.sigma * rng.uniform(5, 15, count) * rng.choice([-1, 1], count)
        self._stuck = rng.uniform(0.05, 0.6, count) * self._top

    def _draw_events(self, rng: np.random.Generator) -> None:
        options, frames = self._options, self._options.frames
        starts = np.flatnonzero(rng.uniform(size=frames) < options.shutter / 1000)
        self.shut = np.zeros(frames, bool)
        for start in starts:
            self.shut[start : start + SHUT] = True
        self._renewals = np.cumsum(np.diff(self.shut, prepend=False, append=False)[:-1] & ~self.shut)
        steps = rng.uniform(size=frames) < options.gain_steps / 1000
        factors = np.exp(rng.uniform(math.log(GAIN[0]), math.log(GAIN[1]), frames))
        offsets = rng.uniform(-OFFSET, OFFSET, frames) * self._top
        last = np.maximum.accumulate(np.where(steps, np.arange(frames), -1))
        self.gain, self.offset = np.where(last >= 0, factors[last], 1.0), np.where(last >= 0, offsets[last], 0.0)
        self.stripes = []
        for begin in np.flatnonzero(rng.uniform(size=frames) < options.stripes / 1000).tolist():
            lasts, row = int(rng.integers(*STRIPE_FRAMES, endpoint=True)), int(rng.integers(options.height))
            length, apart = (int(rng.integers(*r, endpoint=True)) for r in (DASH, DASH_APART))
            phase, rate = int(rng.integers(apart)), int(rng.integers(-7, 8))
            peak = options.sigma * float(rng.uniform(*STRIPE)) * float(rng.choice([-1, 1]))
            self.stripes.append(Stripe(begin, lasts, row, length, apart, phase, rate, peak))

    def pattern(self, frame: int) -> np.ndarray:
        """(H, W) float32 counts that are added to every frame: two thirds of the variance by pixel, a third by column. Drawn anew when the
        shutter opens."""
        renewed = int(self._renewals[frame])
        if renewed != self._renewed:
            pattern, shape = self._for_patterns.spawn(1)[0], self._options.shape
            pixels, columns = (pattern.standard_normal(s, np.float32) for s in (shape, shape[1]))
            spread = np.float32(self._options.fixed_pattern * self._options.sigma)
            self._pattern = spread * (np.float32(math.sqrt(2 / 3)) * pixels + np.float32(math.sqrt(1 / 3)) * columns)
            self._renewed = renewed
        return self._pattern

    def noise_sigma(self, radiance: float) -> float:
        """Temporal noise in counts, rounding included, at a radiance and unit gain."""
        column = self._options.column_noise * self._options.sigma
        return math.sqrt(self._read + self._per_count * max(radiance, 0.0) + column**2 + 1 / 12)

    def expose(self, radiance: np.ndarray, frame: int, window: Window) -> np.ndarray:
        """(h, w) float32 radiance in counts, in a window, to what the sensor gives, uint8 or uint16. Frames must come in order."""
        if self.shut[frame]:
            radiance = np.full_like(radiance, self._clear)
        variance = np.maximum(radiance, 0)
        variance *= np.float32(self._per_count)
        variance += np.float32(self._read)
        counts = np.sqrt(variance, out=variance)
        counts *= self._noise.standard_normal(radiance.shape, np.float32)
        counts += radiance
        counts += self.pattern(frame)[window.slices]
        if self._options.column_noise:
            spread = np.float32(self._options.column_noise * self._options.sigma)
            counts += spread * self._noise.standard_normal(window.width, np.float32)
        self._add_stripes(counts, frame, window)
        if self.gain[frame] != 1:
            counts *= np.float32(self.gain[frame])
            counts += np.float32(self.offset[frame])
        self._spoil(counts, frame, window)
        np.rint(counts, out=counts)
        return np.clip(counts, 0, self._top, out=counts).astype(self._dtype)

    def _add_stripes(self, counts: np.ndarray, frame: int, window: Window) -> None:
        for stripe in self.stripes:
            if window.top <= stripe.row < window.top + window.height:
                columns = (stripe.dashes(frame, self._options.width)[:, None] + np.arange(stripe.length)).ravel()
                columns = columns[(columns >= window.left) & (columns < window.left + window.width)] - window.left
                counts[stripe.row - window.top, columns] += np.float32(stripe.peak)

    def _spoil(self, counts: np.ndarray, frame: int, window: Window) -> None:
        rows, columns = (self.bad - (window.top, window.left)).T
        here = (rows >= 0) & (rows < window.height) & (columns >= 0) & (columns < window.width)
        rows, columns = rows[here], columns[here]
        counts[rows, columns] += np.where(self._lit[frame][here], self._step[here], 0)
        dead = ~self.flickers[here]
        counts[rows[dead], columns[dead]] = self._stuck[here][dead]

    def boxes(self, frame: int) -> list[Box]:
        """Interference: every dead pixel, the flickering ones that are lit, and the dashes of stripes."""
        shown = ~self.flickers | self._lit[frame]
        pixels = [
            Box(column + 0.5, row + 0.5, BAD_BOX, BAD_BOX, INTERFERENCE) for row, column in self.bad[shown].tolist()
        ]
        dashes = [
            Box(first + s.length / 2, s.row + 0.5, max(s.length, BAD_BOX), BAD_BOX, INTERFERENCE)
            for s in self.stripes
            for first in s.dashes(frame, self._options.width).tolist()
        ]
        return pixels + dashes
