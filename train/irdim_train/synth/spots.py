"""What stands out of the sky: targets, and what looks like them. Each is a spot of light on a track."""

from dataclasses import dataclass

import numpy as np

from irdim.boxes import INTERFERENCE, TARGET, Box
from irdim.scr import core, surroundings
from irdim_train.synth import psf
from irdim_train.synth.options import SynthOptions
from irdim_train.synth.textures import Window

SMALLEST_BOX = 3.0  # px
SEEN = 0.5  # of its light; what lies deeper in cloud is not labelled
DRAWS = 7  # of noise, for each look at a target


@dataclass(frozen=True)
class Spot:
    """kind: 'target', 'knot' or 'glint'; size: (sigma_y, sigma_x) px; peak: counts over the sky, centred on a pixel, negative where cold;
    track: (T, 2) float64, the centre (y, x) in frame px (pixel 0 covers 0..1), outside the frame too; light: (T,) how much of it comes through
    the clouds, 0..1; exposure: share of a frame's way over which it is smeared; behind: how many layers of cloud lie in front."""

    kind: str
    size: tuple[float, float]
    peak: float
    track: np.ndarray
    light: np.ndarray
    exposure: float = 0.0
    spread: str = "gaussian"
    behind: int = 0
    manoeuvre: str = "straight"

    @property
    def label(self) -> str:
        return TARGET if self.kind == "target" else INTERFERENCE

    def inside(self, shape: tuple[int, int]) -> np.ndarray:
        """(T,) bool: whether its centre is in the frame."""
        return np.all((self.track >= 0) & (self.track < np.array(shape)), axis=1)

    def seen(self, shape: tuple[int, int]) -> np.ndarray:
        """(T,) bool: whether it is in the frame and not hidden."""
        return self.inside(shape) & (self.light >= SEEN)

    def motion(self, frame: int) -> np.ndarray:
        """(dy, dx) px that it goes while the shutter is open."""
        later = min(frame + 1, len(self.track) - 1)
        earlier = max(later - 1, 0)
        return self.exposure * (self.track[later] - self.track[earlier])

    def box(self, frame: int) -> Box:
        """Centre and +-2 sigma with the smear, at least 3 px wide."""
        y, x = self.track[frame]
        height, width = (max(4 * s + abs(d), SMALLEST_BOX) for s, d in zip(self.size, self.motion(frame), strict=True))
        return Box(float(x), float(y), float(width), float(height), self.label)


def render(spot: Spot, frame: int, window: Window) -> tuple[tuple[slice, slice], np.ndarray] | None:
    """Where in the window a spot of unit peak falls on a frame, and its light there; None where it does not."""
    motion = spot.motion(frame)
    reach = psf.AIRY_REACH if spot.spread == "airy" else psf.GAUSSIAN_REACH
    places = []
    for centre, sigma, way, start, length in zip(
        spot.track[frame], spot.size, motion, window[:2], window[2:], strict=True
    ):
        far = reach * sigma + abs(way) / 2
        first, last = max(int(centre - far), start), min(int(centre + far) + 1, start + length)
        if first >= last or not spot.light[frame]:
            return None
        places.append((first, last))
    (top, bottom), (left, right) = places
    centres, shape = spot.track[frame] + psf.smear(motion), (bottom - top, right - left)
    light = (
        psf.airy(centres, spot.size[0], top, left, shape)
        if spot.spread == "airy"
        else psf.gaussian(centres, spot.size, top, left, shape)
    )
    where = (slice(top - window.top, bottom - window.top), slice(left - window.left, right - window.left))
    return where, light * np.float32(spot.light[frame])


def draw(image: np.ndarray, spot: Spot, frame: int, window: Window) -> None:
    """Add a spot to an image (h, w) float32 of its frame, in a window."""
    rendered = render(spot, frame, window)
    if rendered is not None:
        where, light = rendered
        image[where] += np.float32(spot.peak) * light


@dataclass(frozen=True)
class Look:
    """A spot on one frame. scene: (h, w) counts around it, without spots and temporal noise; sigma: of that noise, counts."""

    frame: int
    window: Window
    scene: np.ndarray
    sigma: float


def scr_of(spot: Spot, options: SynthOptions) -> float:
    """The local SCR that a spot should have: a target the requested one, what looks like it in proportion to its peak as drawn."""
    assert options.scr is not None
    return options.scr * abs(spot.peak) / (options.snr * options.sigma)


def peak_for_scr(spot: Spot, scr: float, looks: list[Look], rng: np.random.Generator) -> float:
    """The peak in counts, signed as the spot's own, at which irdim.scr.local_scr has the median `scr` over these looks and their noise.

    For one look and one draw of the noise the least peak that lifts a pixel of the box to `scr` local sigmas follows at once; above the
    median of these, half of all frames have more. Never less than half of `scr` sigmas of the noise.
    """
    sign = -1.0 if spot.peak < 0 else 1.0
    peaks = []
    for look in looks:
        rendered = render(spot, look.frame, look.window)
        box = spot.box(look.frame)
        box = Box(box.x - look.window.left, box.y - look.window.top, box.w, box.h)
        mean, texture = surroundings(look.scene, box)
        if rendered is None or np.isnan(mean):
            continue
        unit = np.zeros(look.scene.shape, np.float32)
        unit[rendered[0]] = rendered[1]
        rows, columns = core(look.scene.shape, box)
        lit = unit[rows, columns]
        rest = sign * (look.scene[rows, columns] - mean)
        noise = look.sigma * rng.standard_normal((DRAWS, *lit.shape))
        wanted = scr * np.hypot(texture, look.sigma) - rest - noise
        peaks.append((wanted / np.maximum(lit, 1e-3)).min(axis=(1, 2)))
    least = 0.5 * scr * (looks[0].sigma if looks else 1.0)
    return sign * max(float(np.median(np.concatenate(peaks))), least) if peaks else sign * 2 * least
