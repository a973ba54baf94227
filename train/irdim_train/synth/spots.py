"""What stands out of the sky: targets, and cloud knots that look like them. Each is a Gaussian spot, integrated over the pixels."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from irdim.boxes import INTERFERENCE, TARGET, Box
from irdim_train.synth.options import SynthOptions
from irdim_train.synth.sky import OPTICS

REACH = 4.5  # sigmas; a spot is drawn this far
SMALLEST_BOX = 3.0  # px
TURN = 0.03  # radians per frame, the sharpest; every other target or so flies straight
STAY = 0.7  # of the shorter frame side; how far one target goes before the next takes over


@dataclass(frozen=True)
class Spot:
    """kind: 'target' or 'knot'; size: (sigma_y, sigma_x) px; peak: counts over the sky, centred on a pixel, negative where cold;
    track: (T, 2) float64, the centre (y, x) in frame px (pixel 0 covers 0..1), outside the frame too."""

    kind: str
    size: tuple[float, float]
    peak: float
    track: np.ndarray

    @property
    def label(self) -> str:
        return TARGET if self.kind == "target" else INTERFERENCE

    def inside(self, shape: tuple[int, int]) -> np.ndarray:
        """(T,) bool: whether its centre is in the frame."""
        return np.all((self.track >= 0) & (self.track < np.array(shape)), axis=1)

    def box(self, frame: int) -> Box:
        """Centre and +-2 sigma, at least 3 px wide."""
        y, x = self.track[frame]
        height, width = (max(4 * s, SMALLEST_BOX) for s in self.size)
        return Box(float(x), float(y), width, height, self.label)


def draw(image: np.ndarray, spot: Spot, frame: int) -> None:
    """Add a spot to an image (H, W) float32 of its frame."""
    profiles, places = [], []
    for centre, sigma, length in zip(spot.track[frame], spot.size, image.shape, strict=True):
        first, last = int(max(centre - REACH * sigma, 0)), int(min(centre + REACH * sigma + 1, length))
        if first >= last:
            return
        edges = ndtr((np.arange(first, last + 1) - centre) / sigma)
        profiles.append(
            np.diff(edges) / (1 - 2 * ndtr(-0.5 / sigma))
        )  # 1 for a pixel that the centre is in the middle of
        places.append(slice(first, last))
    image[places[0], places[1]] += (spot.peak * np.outer(*profiles)).astype(np.float32)


def place_targets(options: SynthOptions, shifts: np.ndarray, rng: np.random.Generator) -> list[Spot]:
    """1..targets at about the same time; each comes over the border and leaves over it, and the next takes over. Peaks are `snr` sigmas."""
    if not options.targets:
        return []
    spots = []
    for middle in _middles(options, int(rng.integers(1, options.targets + 1)), options.speed + options.drift, rng):
        size = float(np.hypot(OPTICS, rng.uniform(0, 1.1)))
        heading, turn = rng.uniform(0, 2 * np.pi), rng.uniform(-TURN, TURN) * rng.integers(2)
        headings = heading + turn * (np.arange(options.frames) - middle)
        path = options.speed * np.stack([np.sin(headings), np.cos(headings)], axis=1)
        hot = {"hot": True, "cold": False, "both": bool(rng.uniform() < 0.75)}[options.polarity]
        peak = options.snr * options.sigma * (1 if hot else -1)
        spots.append(Spot("target", (size, size), peak, _track(options, shifts, path, middle, rng)))
    return spots


def place_knots(
    options: SynthOptions, shifts: np.ndarray, winds: list[np.ndarray], rng: np.random.Generator
) -> list[Spot]:
    """Small bright knots, wider than a target, that go with a cloud layer."""
    spots = []
    for middle in _middles(options, options.knots, options.drift + options.wind, rng):
        size = (float(rng.uniform(0.9, 1.8)), float(rng.uniform(1.8, 4.0)))
        path = np.tile(winds[rng.integers(len(winds))], (options.frames, 1))
        peak = options.snr * options.sigma * float(rng.uniform(0.6, 1.4))
        spots.append(Spot("knot", size, peak, _track(options, shifts, path, middle, rng)))
    return spots


def _middles(options: SynthOptions, at_once: int, speed: float, rng: np.random.Generator) -> list[int]:
    """The frames in the middle of each spot's stay, so that about `at_once` are in the frame at any time."""
    turns = max(1, round(options.frames * speed / (STAY * min(options.shape))))
    parts = np.linspace(0, options.frames, turns + 1)
    return [int(rng.uniform(a, b)) for _ in range(at_once) for a, b in itertools.pairwise(parts)]


def _track(
    options: SynthOptions, shifts: np.ndarray, path: np.ndarray, middle: int, rng: np.random.Generator
) -> np.ndarray:
    """Frame positions (T, 2): somewhere inside at `middle`, moved by `path` (T, 2) px per frame over the sky, and with the sky."""
    way = np.concatenate([np.zeros((1, 2)), np.cumsum(path[1:], axis=0)]) + shifts
    there = np.array(options.shape) * rng.uniform(0.1, 0.9, 2)
    return there + way - way[middle]
