"""Where targets and what looks like them fly: tracks over the border and back, manoeuvres, crossings, ways behind clouds."""

import itertools

import numpy as np

from irdim_train.synth.options import SynthOptions
from irdim_train.synth.sky import Sky
from irdim_train.synth.spots import Spot
from irdim_train.synth.textures import OPTICS

TURN = (0.01, 0.03)  # radians per frame
WEAVE, WEAVE_PERIOD = (0.3, 0.7), (20.0, 50.0)  # radians of heading to either side; frames
JINK = (0.5, 1.5)  # radians at once
STAY = 0.7  # of the shorter frame side; how far one target goes before the next takes over
GLINTS = 0.5  # a frame
GLINT_FRAMES = 3  # at most


def place_targets(options: SynthOptions, sky: Sky, shifts: np.ndarray, rng: np.random.Generator) -> list[Spot]:
    """1..targets at about the same time; each comes over the border and leaves over it, and the next takes over. Peaks are `snr` sigmas."""
    if not options.targets:
        return []
    spots: list[Spot] = []
    met: tuple[int, np.ndarray] | None = None  # when and where the last one was half way
    for middle in _middles(options, int(rng.integers(1, options.targets + 1)), options.speed + options.drift, rng):
        there = np.array(options.shape) * rng.uniform(0.1, 0.9, 2)
        if rng.uniform() < options.crossing and met is not None:
            middle, there = met
        met = (middle, there)
        spots.append(target(options, sky, shifts, middle, there, rng))
    return spots


def target(
    options: SynthOptions, sky: Sky, shifts: np.ndarray, middle: int, there: np.ndarray, rng: np.random.Generator
) -> Spot:
    """A target that is at `there` (y, x) in the frame `middle`."""
    height = rng.uniform(0, options.extent)
    width = height * rng.uniform(1, options.elongation) if options.elongation > 1 else height
    size = float(np.hypot(OPTICS, height)), float(np.hypot(OPTICS, width))
    manoeuvre, headings = _headings(options, middle, rng)
    path = options.speed * np.stack([np.sin(headings), np.cos(headings)], axis=1)
    hot = {"hot": True, "cold": False, "both": bool(rng.uniform() < 0.75)}[options.polarity]
    peak = options.snr * options.sigma * (1 if hot else -1)
    track = _track(shifts, path, middle, there)
    hidden = rng.uniform() < options.occlusion and options.clouds > 0
    behind = int(rng.integers(1, options.layers + 1)) if hidden else 0
    light = (
        np.array([sky.transmission(t, shifts[t], place, behind) for t, place in enumerate(track)]) if behind else None
    )
    return Spot(
        "target",
        size,
        peak,
        track,
        np.ones(len(track)) if light is None else light,
        options.exposure,
        options.psf,
        behind,
        manoeuvre,
    )


def place_knots(options: SynthOptions, sky: Sky, shifts: np.ndarray, rng: np.random.Generator) -> list[Spot]:
    """Small bright knots, wider than a target, that go with a cloud layer."""
    return [
        knot(options, sky, shifts, middle, np.array(options.shape) * rng.uniform(0.1, 0.9, 2), rng)
        for middle in _middles(options, options.knots, options.drift + options.wind, rng)
    ]


def knot(
    options: SynthOptions, sky: Sky, shifts: np.ndarray, middle: int, there: np.ndarray, rng: np.random.Generator
) -> Spot:
    """A knot that is at `there` in the frame `middle`."""
    size = (float(rng.uniform(0.9, 1.8)), float(rng.uniform(1.8, 4.0)))
    path = np.tile(sky.winds[rng.integers(len(sky.winds))], (options.frames, 1))
    peak = options.snr * options.sigma * float(rng.uniform(0.6, 1.4))
    return Spot("knot", size, peak, _track(shifts, path, middle, there), np.ones(options.frames))


def place_glints(options: SynthOptions, sky: Sky, shifts: np.ndarray, rng: np.random.Generator) -> list[Spot]:
    """Sparks of the sun's light below it (on water, where there is a horizon), each for a few frames."""
    spots = []
    for _ in range(rng.poisson(GLINTS * options.frames) if options.glint else 0):
        begin, last = int(rng.integers(options.frames)), int(rng.integers(1, GLINT_FRAMES + 1))
        away = np.array([abs(rng.normal(0, 0.15)) + 0.02, rng.normal(0, 0.05)]) * min(options.shape)
        light = np.zeros(options.frames)
        light[begin : begin + last] = 1
        peak = options.snr * options.sigma * float(rng.uniform(0.8, 2.0))
        spots.append(Spot("glint", (OPTICS, OPTICS), peak, sky.sun + away + shifts, light, spread=options.psf))
    return spots


def _middles(options: SynthOptions, at_once: int, speed: float, rng: np.random.Generator) -> list[int]:
    """The frames in the middle of each spot's stay, so that about `at_once` are in the frame at any time."""
    turns = max(1, round(options.frames * speed / (STAY * min(options.shape))))
    parts = np.linspace(0, options.frames, turns + 1)
    return [int(rng.uniform(a, b)) for _ in range(at_once) for a, b in itertools.pairwise(parts)]


def _headings(options: SynthOptions, middle: int, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """A manoeuvre and the heading (T,) in radians at each frame."""
    frames = np.arange(options.frames) - middle
    heading, side = rng.uniform(0, 2 * np.pi), float(rng.choice([-1, 1]))
    kind = str(rng.choice(["turn", "weave", "jink"])) if rng.uniform() < options.manoeuvres else "straight"
    if kind == "turn":
        course = side * rng.uniform(*TURN) * frames
    elif kind == "weave":
        course = side * rng.uniform(*WEAVE) * np.sin(2 * np.pi * frames / rng.uniform(*WEAVE_PERIOD))
    elif kind == "jink":
        course = side * rng.uniform(*JINK) * (frames > rng.integers(-10, 11))
    else:
        course = np.zeros(options.frames)
    return kind, heading + course


def _track(shifts: np.ndarray, path: np.ndarray, middle: int, there: np.ndarray) -> np.ndarray:
    """Frame positions (T, 2): at `there` in the frame `middle`, moved by `path` (T, 2) px per frame over the sky, and with the sky."""
    way = np.concatenate([np.zeros((1, 2)), np.cumsum(path[1:], axis=0)]) + shifts
    return np.asarray(there + way - way[middle])
