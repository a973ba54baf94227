"""One generated sequence: sky, camera, spots and sensor put together, and the truth about them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from irdim.boxes import Box
from irdim.scr import GUARD, RING, local_scr
from irdim_train.synth.options import SynthOptions
from irdim_train.synth.placing import place_glints, place_knots, place_targets
from irdim_train.synth.platform import platform_shifts
from irdim_train.synth.sensor import Sensor
from irdim_train.synth.sky import Sky
from irdim_train.synth.spots import SEEN, Look, Spot, draw, peak_for_scr, scr_of
from irdim_train.synth.textures import Texture, Window

VERSION = 2  # of the generator: other numbers, other bytes from the same seed
LOOKS = 9  # frames per target at which its surroundings are measured
AROUND = 20  # px about a target that a look takes in


@dataclass(frozen=True)
class Synthetic:
    """frames: (T, H, W) uint8 or uint16; boxes: by frame; truth: what truth.json holds."""

    frames: np.ndarray
    boxes: dict[int, list[Box]]
    truth: dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """What a sequence, or a few patches of one, is seen of: the same draws from the same key. shifts: see platform_shifts."""

    options: SynthOptions
    sky: Sky
    shifts: np.ndarray
    sensor: Sensor
    for_targets: np.random.Generator
    for_others: np.random.Generator
    for_contrast: np.random.Generator

    @classmethod
    def draw(cls, options: SynthOptions, key: Sequence[int], textures: Sequence[Texture] | None = None) -> "Scene":
        """Sky, camera, targets and sensor have random streams of their own, so that a change to one of them (another SNR, no targets)
        leaves the others as they were."""
        streams = [
            np.random.Generator(np.random.SFC64(s)) for s in np.random.SeedSequence([options.seed, *key]).spawn(7)
        ]
        for_sky, for_camera, for_targets, for_others, for_contrast, for_sensor, for_noise = streams
        sky = Sky(options, for_sky, textures)
        shifts = platform_shifts(options, for_camera)
        sensor = Sensor(options, sky.clear_mean(), for_sensor, for_noise)
        return cls(options, sky, shifts, sensor, for_targets, for_others, for_contrast)

    def radiance(self, frame: int, window: Window) -> np.ndarray:
        """(h, w) float32 counts, without spots and sensor."""
        return self.sky.radiance(frame, self.shifts[frame], window)

    def look(self, spot: Spot, frame: int) -> Look:
        """At a spot's surroundings on a frame."""
        (y, x), (height, width) = spot.track[frame], self.options.shape
        top, left = max(int(y) - AROUND, 0), max(int(x) - AROUND, 0)
        window = Window(top, left, min(int(y) + AROUND, height) - top, min(int(x) + AROUND, width) - left)
        return self.look_at(self.radiance(frame, window), frame, window)

    def look_at(self, radiance: np.ndarray, frame: int, window: Window) -> Look:
        """At a window of which the radiance is known."""
        sigma = self.sensor.noise_sigma(float(radiance.mean()))
        return Look(frame, window, radiance + self.sensor.pattern(frame)[window.slices], sigma)


def frames_like(options: SynthOptions) -> tuple[tuple[int, int, int], type[np.unsignedinteger]]:
    """Shape (T, H, W) and dtype of a sequence's frames."""
    return (options.frames, *options.shape), np.uint8 if options.bits == 8 else np.uint16


def generate(
    options: SynthOptions,
    index: int = 0,
    textures: Sequence[Texture] | None = None,
    out: np.ndarray | None = None,
) -> Synthetic:
    """Sequence `index` of the seed. textures: shared clouds; by default the sequence has its own. out: where the frames go, as `frames_like` says;
    a file's memory map keeps a long sequence out of memory."""
    scene = Scene.draw(options, (index,), textures)
    spots = _spots(scene)
    whole = Window(0, 0, *options.shape)
    frames = np.empty(*frames_like(options)) if out is None else out
    boxes: dict[int, list[Box]] = {}
    seen = [spot.seen(options.shape) & ~scene.sensor.shut for spot in spots]
    for t in range(options.frames):
        radiance = scene.radiance(t, whole)
        for spot in spots:
            draw(radiance, spot, t, whole)
        frames[t] = scene.sensor.expose(radiance, t, whole)
        there = [spot.box(t) for spot, at in zip(spots, seen, strict=True) if at[t]] + scene.sensor.boxes(t)
        if there:
            boxes[t] = there
    return Synthetic(frames, boxes, _truth(scene, index, spots, seen, frames))


def _spots(scene: Scene) -> list[Spot]:
    options, sky, shifts = scene.options, scene.sky, scene.shifts
    spots = place_targets(options, sky, shifts, scene.for_targets)
    spots += place_knots(options, sky, shifts, scene.for_others) + place_glints(options, sky, shifts, scene.for_others)
    spots = [spot for spot in spots if spot.seen(options.shape).any()]
    if options.scr is None:
        return spots
    return [_at_scr(scene, spot) for spot in spots]


def _at_scr(scene: Scene, spot: Spot) -> Spot:
    """The spot at the requested local SCR, by a few looks at it where it is seen."""
    seen = np.flatnonzero(spot.seen(scene.options.shape))
    times = seen[np.unique(np.linspace(0, len(seen) - 1, LOOKS).astype(int))].tolist()
    looks = [scene.look(spot, t) for t in times]
    return dataclasses.replace(spot, peak=peak_for_scr(spot, scr_of(spot, scene.options), looks, scene.for_contrast))


def _truth(scene: Scene, index: int, spots: list[Spot], seen: list[np.ndarray], frames: np.ndarray) -> dict[str, Any]:
    options, sensor = scene.options, scene.sensor
    return {
        "format": "irdim-synth",
        "version": VERSION,
        "sequence": index,
        "options": dataclasses.asdict(options),
        "noise_sigma": options.sigma,
        "sky_shift": scene.shifts.round(4).tolist(),
        "winds": [wind.round(4).tolist() for wind in scene.sky.winds],
        "shutter": np.flatnonzero(sensor.shut).tolist(),
        "gain": sensor.gain.round(4).tolist(),
        "scr": f"median of |peak - local mean| / local sigma; ring from {GUARD:g} to {GUARD + RING:g} px outside the box",
        "spots": [_spot_truth(spot, at, frames, options) for spot, at in zip(spots, seen, strict=True)],
        "bad_pixels": [
            {"row": row, "column": column, "kind": "flickering" if flickers else "dead"}
            for (row, column), flickers in zip(sensor.bad.tolist(), sensor.flickers.tolist(), strict=True)
        ],
        "stripes": [dataclasses.asdict(stripe) for stripe in sensor.stripes],
    }


def _spot_truth(spot: Spot, seen: np.ndarray, frames: np.ndarray, options: SynthOptions) -> dict[str, Any]:
    visible = np.flatnonzero(seen).tolist()
    measured = [local_scr(frames[t], spot.box(t)) for t in visible]
    return {
        "kind": spot.kind,
        "label": spot.label,
        "manoeuvre": spot.manoeuvre,
        "sigma": [round(s, 4) for s in spot.size],
        "peak": round(spot.peak, 4),
        "snr": round(abs(spot.peak) / options.sigma, 4),
        "scr": round(float(np.nanmedian(measured)), 4) if np.isfinite(measured).any() else None,
        "visible": visible,
        "hidden": np.flatnonzero(spot.inside(options.shape) & (spot.light < SEEN)).tolist() if spot.behind else [],
        "track": spot.track.round(4).tolist(),
    }
