"""What a generated sequence should be like."""

import math
from dataclasses import dataclass

from irdim.errors import InputError

POLARITIES = ("hot", "cold", "both")
SHORTEST = 32  # px; below this there is no room for a sky


@dataclass(frozen=True)
class SynthOptions:
    """Requests, in px, px per frame, counts, or sigmas of the noise. Equal options give equal bytes."""

    frames: int = 60
    width: int = 160
    height: int = 128
    bits: int = 14  # of the sensor: 8 gives uint8 frames, more gives uint16
    snr: float = 5.0  # peak of a target, centred on a pixel, in sigmas of the noise
    scr: float | None = None  # instead of `snr`: that peak in local sigmas (clouds, fixed pattern and noise around it)
    speed: float = 1.0  # px per frame of a target over the sky
    targets: int = 2  # up to this many in the frame at about the same time; 0 for none
    polarity: str = "both"
    clouds: float = 15.0  # radiance of a cloud over the sky, in sigmas; 0 for a clear sky
    wind: float = 0.1  # px per frame, the largest motion of a cloud layer over the sky
    drift: float = 0.5  # px per frame of the camera over the sky
    jitter: float = 0.05  # px, standard deviation of the camera's pointing from frame to frame
    noise: float | None = None  # counts, rounding included; None for 1 in 1,024 of the range, at least 1
    fixed_pattern: float = 0.3  # in sigmas of the noise
    bad_pixels: float = 1e-4  # share of pixels, half of them dead, half flickering
    knots: int = 1  # small cloud knots that mimic a target, at about the same time
    interval: float = 0.04  # s between frames
    seed: int = 0

    def __post_init__(self) -> None:
        checks = (
            (self.frames >= 1, f"--frames {self.frames}: at least 1"),
            (min(self.width, self.height) >= SHORTEST, f"--size {self.size}: at least {SHORTEST}x{SHORTEST}"),
            (8 <= self.bits <= 16, f"--bits {self.bits}: from 8 to 16"),
            (0 < self.snr <= 1e4, f"--snr {self.snr:g}: above 0, at most 10000"),
            (self.scr is None or 0 < self.scr <= 1e4, f"--scr {self.scr}: above 0, at most 10000"),
            (self.targets >= 0, f"--targets {self.targets}: 0 or more"),
            (self.knots >= 0, f"--knots {self.knots}: 0 or more"),
            (self.polarity in POLARITIES, f"--polarity {self.polarity}: one of {', '.join(POLARITIES)}"),
            (self.noise is None or self.noise >= 0.5, f"--noise {self.noise} counts: at least 0.5"),
            (0 <= self.bad_pixels <= 0.1, f"--bad-pixels {self.bad_pixels:g}: a share from 0 to 0.1"),
            (0 < self.interval < math.inf, f"--interval {self.interval:g}: seconds, above 0"),
            (self.seed >= 0, f"--seed {self.seed}: 0 or more"),
            *(
                (0 <= getattr(self, name) < math.inf, f"--{name.replace('_', '-')} {getattr(self, name)}: 0 or more")
                for name in ("speed", "clouds", "wind", "drift", "jitter", "fixed_pattern")
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
