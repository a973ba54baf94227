"""How the camera moves over the sky."""

import numpy as np

from irdim_train.synth.options import SynthOptions


def platform_shifts(options: SynthOptions, rng: np.random.Generator) -> np.ndarray:
    """(T, 2) float64: (dy, dx) px that the sky has moved in the frame since frame 0.

    A steady drift, mostly sideways, that turns back before the sky repeats; a sideways sweep over half a frame and back (`pan`); and
    jitter on every frame but the first.
    """
    frames = np.arange(options.frames)
    angle = rng.uniform(-0.35, 0.35) + np.pi * rng.integers(2)
    way = _to_and_fro(options.drift * frames, 2.0 * max(options.shape))
    shifts = way[:, None] * np.array([np.sin(angle), np.cos(angle)])
    shifts[1:] += rng.normal(0, options.jitter, (options.frames - 1, 2))
    begin = rng.uniform(0, options.width)
    sweep = _to_and_fro(options.pan * frames + begin, options.width / 2)
    shifts[:, 1] += sweep - sweep[0]
    return shifts


def _to_and_fro(way: np.ndarray, reach: float) -> np.ndarray:
    """The place after a way of so many px between 0 and `reach`."""
    return reach - np.abs(way % (2 * reach) - reach)
