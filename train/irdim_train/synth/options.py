"""What a generated sequence should be like."""

import math
from dataclasses import dataclass

from irdim.errors import InputError

POLARITIES = ("hot", "cold", "both")
EDGES = ("soft", "hard", "mixed")
PSFS = ("gaussian", "airy")

SHORTEST, LONGEST = 32, 4096  # px; below there is no room for a sky
WIDEST = 8.0  # px, sigma; what is larger is no small target, and outgrows a patch
WIDEST_LONG = 12.0  # the same along a long target
LEAST_SCR = 2.5  # noise alone gives about 2 by the definition of irdim.scr
ZERO_OR_MORE = ("speed", "clouds", "wind", "drift", "pan", "jitter", "fixed_pattern", "column_noise", "glint")
SHARES = ("manoeuvres", "crossing", "occlusion", "shot", "exposure", "label_errors")
PER_1000 = ("shutter", "gain_steps", "stripes")


@dataclass(frozen=True)
class SynthOptions:
    """Requests, in px, px per frame, counts, or sigmas of the noise. Equal options give equal bytes."""

    frames: int = 60
    width: int = 160
    height: int = 128
    interval: float = 0.04  # s between frames
    seed: int = 0
    # sky
    clouds: float = 15.0  # radiance of a cloud over the sky, in sigmas; 0 for a clear sky
    layers: int = 2  # of cloud, each with its own drift
    edges: str = "mixed"  # of clouds
    wind: float = 0.1  # px per frame, the largest motion of a cloud layer over the sky
    horizon: float | None = None  # share of the frame's height above it; None for sky alone
    glint: float = 0.0  # radiance of the sun's glow, in sigmas; sparks below it mimic targets
    # platform
    drift: float = 0.5  # px per frame of the camera over the sky, steady
    pan: float = 0.0  # px per frame, a sweep to and fro on top of it
    jitter: float = 0.05  # px, standard deviation of the camera's pointing from frame to frame
    # targets and what mimics them
    targets: int = 2  # up to this many in the frame at about the same time; 0 for none
    snr: float = 5.0  # peak of a target, centred on a pixel, in sigmas of the noise
    scr: float | None = None  # instead of `snr`: the median of irdim.scr.local_scr over its frames
    polarity: str = "both"
    psf: str = "gaussian"
    extent: float = 1.1  # px, sigma: the largest of a target's own extent, before the optics blur it
    elongation: float = 1.0  # the most that a target's own extent is wider than high
    speed: float = 1.0  # px per frame of a target over the sky
    exposure: float = 0.5  # share of the interval over which a moving target is smeared
    manoeuvres: float = 0.5  # share of targets that turn, weave or jink
    crossing: float = 0.0  # share of targets that cross the way of another
    occlusion: float = 0.2  # share of targets that fly behind clouds
    knots: int = 1  # small cloud knots that mimic a target, at about the same time
    # sensor
    bits: int = 14  # 8 gives uint8 frames, more gives uint16
    noise: float | None = (
        None  # counts, temporal, on the clear sky, rounding included; None for 1 in 1,024 of the range, at least 1
    )
    shot: float = 0.3  # share of the noise's variance that grows with the radiance, on the clear sky
    fixed_pattern: float = 0.3  # in sigmas of the noise
    column_noise: float = 0.1  # in sigmas of the noise, of which it is a part, anew on every frame
    bad_pixels: float = 1e-4  # share of pixels, half of them dead, half flickering
    shutter: float = 0.0  # shutter events per 1,000 frames
    gain_steps: float = 0.0  # steps of the automatic gain per 1,000 frames
    stripes: float = 0.0  # bursts of electromagnetic stripes per 1,000 frames
    # labels
    label_errors: float = 0.0  # wrong labels per labelled target

    def __post_init__(self) -> None:
        checks = (
            (self.frames >= 1, f"--frames {self.frames}: at least 1"),
            (
                all(SHORTEST <= n <= LONGEST for n in self.shape),
                f"--size {self.size}: from {SHORTEST}x{SHORTEST} to {LONGEST}x{LONGEST}",
            ),
            (8 <= self.bits <= 16, f"--bits {self.bits}: from 8 to 16"),
            (0 < self.snr <= 1e4, f"--snr {self.snr:g}: above 0, at most 10000"),
            (
                self.scr is None or LEAST_SCR <= self.scr <= 1e4,
                f"--scr {self.scr}: from {LEAST_SCR} to 10000 (noise alone has about 2; ask for dimmer targets with --snr)",
            ),
            (0 <= self.extent <= WIDEST, f"--extent {self.extent:g}: from 0 to {WIDEST:g} px"),
            (1 <= self.elongation <= 10, f"--elongation {self.elongation:g}: from 1 to 10"),
            (
                self.extent * self.elongation <= WIDEST_LONG,
                f"--elongation {self.elongation:g}: times --extent {self.extent:g} at most {WIDEST_LONG:g} px",
            ),
            (
                self.elongation == 1 or self.psf == "gaussian",
                "--elongation: only with --psf gaussian; an Airy disc is round",
            ),
            (0 <= self.targets <= 100, f"--targets {self.targets}: from 0 to 100"),
            (0 <= self.knots <= 100, f"--knots {self.knots}: from 0 to 100"),
            (1 <= self.layers <= 8, f"--layers {self.layers}: from 1 to 8 (--clouds 0 for a clear sky)"),
            (self.polarity in POLARITIES, f"--polarity {self.polarity}: one of {', '.join(POLARITIES)}"),
            (self.edges in EDGES, f"--edges {self.edges}: one of {', '.join(EDGES)}"),
            (self.psf in PSFS, f"--psf {self.psf}: one of {', '.join(PSFS)}"),
            (
                0.5 <= self.sigma <= 2**self.bits / 64,
                f"--noise {self.noise} counts: from 0.5 to {2**self.bits / 64:g}, a 64th of the range of {self.bits} bits",
            ),
            (
                self.sigma**2 * (1 - self.column_noise**2) > 1 / 12,
                f"--column-noise {self.column_noise}: leaves nothing of a noise of {self.sigma:g} counts; ask for less",
            ),
            (self.horizon is None or 0 < self.horizon < 1, f"--horizon {self.horizon}: a share above 0 and below 1"),
            (0 <= self.bad_pixels <= 0.1, f"--bad-pixels {self.bad_pixels:g}: a share from 0 to 0.1"),
            (0 < self.interval < math.inf, f"--interval {self.interval:g}: seconds, above 0"),
            (self.seed >= 0, f"--seed {self.seed}: 0 or more"),
            *((0 <= getattr(self, n) < math.inf, f"{_flag(n)} {getattr(self, n)}: 0 or more") for n in ZERO_OR_MORE),
            *((0 <= getattr(self, n) <= 1, f"{_flag(n)} {getattr(self, n)}: a share from 0 to 1") for n in SHARES),
            *(
                (0 <= getattr(self, n) <= 500, f"{_flag(n)} {getattr(self, n)}: events per 1,000 frames, from 0 to 500")
                for n in PER_1000
            ),
        )
        for holds, message in checks:
            if not holds:
                raise InputError(message)

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def sigma(self) -> float:
        """Temporal noise in counts, rounding included."""
        return self.noise if self.noise is not None else max(1.0, 2**self.bits / 1024)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
