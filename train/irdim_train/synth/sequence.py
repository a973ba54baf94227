"""One generated sequence: sky, camera, spots and sensor put together, and the truth about them."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from irdim.boxes import Box
from irdim_train.synth.options import SynthOptions
from irdim_train.synth.sensor import Sensor
from irdim_train.synth.sky import Sky, platform_shifts
from irdim_train.synth.spots import Spot, draw, place_knots, place_targets

VERSION = 1  # of the generator: other numbers, other bytes from the same seed
INNER, OUTER = 5, 10  # px; the local sigma is taken over a square annulus between these half sides
LOOKS = 5  # frames per target at which its surroundings are measured


@dataclass(frozen=True)
class Synthetic:
    """frames: (T, H, W) uint8 or uint16; boxes: by frame; truth: what truth.json holds."""

    frames: np.ndarray
    boxes: dict[int, list[Box]]
    truth: dict[str, Any]


def generate(options: SynthOptions, index: int = 0) -> Synthetic:
    """Sequence `index` of the seed. Sky, camera, targets and sensor have random streams of their own, so that a change to one of them
    (another SNR, no targets) leaves the others as they were."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([options.seed, index]).spawn(6)]
    for_sky, for_camera, for_targets, for_knots, for_sensor, for_noise = streams
    sky, shifts = Sky(options, for_sky), platform_shifts(options, for_camera)
    sensor = Sensor(options, for_sensor, for_noise)
    spots = place_targets(options, shifts, for_targets) + place_knots(options, shifts, sky.winds, for_knots)
    spots = [spot for spot in spots if spot.inside(options.shape).any()]
    local = _local_sigmas(spots, sky, sensor, shifts, options)
    if options.scr is not None:
        spots = [
            dataclasses.replace(spot, peak=float(spot.peak / (options.snr * options.sigma) * options.scr * around))
            for spot, around in zip(spots, local, strict=True)
        ]
    visible = [spot.inside(options.shape) for spot in spots]
    frames, boxes = [], {}
    for t in range(options.frames):
        radiance = sky.radiance(t, shifts[t])
        for spot in spots:
            draw(radiance, spot, t)
        frames.append(sensor.expose(radiance, t))
        there = [spot.box(t) for spot, seen in zip(spots, visible, strict=True) if seen[t]] + sensor.boxes(t)
        if there:
            boxes[t] = there
    return Synthetic(np.stack(frames), boxes, _truth(options, index, sky, shifts, spots, local, sensor))


def _local_sigmas(
    spots: list[Spot], sky: Sky, sensor: Sensor, shifts: np.ndarray, options: SynthOptions
) -> list[float]:
    """For each spot the standard deviation around it in counts, without it and noise included; the median over a few of its frames."""
    scenes: dict[int, np.ndarray] = {}
    sigmas = []
    for spot in spots:
        seen = np.flatnonzero(spot.inside(options.shape))
        found = []
        for t in seen[np.unique(np.linspace(0, len(seen) - 1, LOOKS).astype(int))].tolist():
            if t not in scenes:
                scenes[t] = sky.radiance(t, shifts[t]) + sensor.pattern
            found.append(np.hypot(_annulus(scenes[t], *np.floor(spot.track[t]).astype(int)).std(), options.sigma))
        sigmas.append(float(np.median(found)))
    return sigmas


def _annulus(image: np.ndarray, row: int, column: int) -> np.ndarray:
    """The pixels of a square annulus around one, as far as they lie in the image."""
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    distance = np.maximum(abs(rows - row), abs(columns - column))
    return image[(distance > INNER) & (distance <= OUTER)]


def _truth(
    options: SynthOptions,
    index: int,
    sky: Sky,
    shifts: np.ndarray,
    spots: list[Spot],
    local: list[float],
    sensor: Sensor,
) -> dict[str, Any]:
    return {
        "format": "irdim-synth",
        "version": VERSION,
        "sequence": index,
        "options": dataclasses.asdict(options),
        "noise_sigma": options.sigma,
        "sky_shift": shifts.round(4).tolist(),
        "winds": [wind.round(4).tolist() for wind in sky.winds],
        "local_sigma": f"annulus of half sides {INNER} to {OUTER} px, without the spot, noise included",
        "spots": [
            {
                "kind": spot.kind,
                "label": spot.label,
                "sigma": [round(s, 4) for s in spot.size],
                "peak": round(spot.peak, 4),
                "snr": round(abs(spot.peak) / options.sigma, 4),
                "local_scr": round(abs(spot.peak) / around, 4),
                "visible": np.flatnonzero(spot.inside(options.shape)).tolist(),
                "track": spot.track.round(4).tolist(),
            }
            for spot, around in zip(spots, local, strict=True)
        ],
        "bad_pixels": [
            {"row": row, "column": column, "kind": "flickering" if flickers else "dead"}
            for (row, column), flickers in zip(sensor.bad.tolist(), sensor.flickers.tolist(), strict=True)
        ],
    }
