"""A frame, or its difference, as a PNG of eight bits: a few counts of sixteen bits are spread from black to white."""

from dataclasses import dataclass

import cv2
import numpy as np

from irdim.differencing import InputSpec, align, high_pass
from irdim.noise import noise_sigma
from irdim.registration import estimate_shift, texture
from irdim.sources import Frame

ORIGINAL, DIFFERENCE = "original", "difference"
VIEWS = (ORIGINAL, DIFFERENCE)
LEAST = {ORIGINAL: 1.0, DIFFERENCE: 0.1}  # counts, sigmas; a window is never narrower, however flat the frame


@dataclass(frozen=True)
class Picture:
    """png: (H, W) uint8; number: of its moment; low, high: what became black and white, in counts or, of a difference, in noise sigmas."""

    png: bytes
    number: int
    low: float
    high: float


def draw(
    frame: Frame, older: Frame | None, spec: InputSpec, view: str, low: float, high: float, number: int
) -> Picture:
    """older: what a difference is taken from, black without; low, high: percentiles, 0 <= low < high <= 100."""
    values = frame.pixels if view == ORIGINAL else difference(frame, older, spec.register)
    black, white = (float(v) for v in np.percentile(values, (low, high)))
    white = max(white, black + LEAST[view])
    scaled = (values.astype(np.float32) - np.float32(black)) * np.float32(255 / (white - black))
    rows = np.clip(scaled, 0, 255).astype(np.uint8)
    _, png = cv2.imencode(".png", rows, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return Picture(png.tobytes(), number, black, white)


def difference(frame: Frame, older: Frame | None, register: bool) -> np.ndarray:
    """(H, W) float32, noise sigmas: the frame less the older one laid over it, high-passed, as the network's differences are."""
    if older is None:
        return np.zeros(frame.pixels.shape, np.float32)
    shift = estimate_shift(texture(older.pixels), texture(frame.pixels)) if register else (0.0, 0.0)
    newest, before = align(np.stack([frame.pixels, older.pixels]), np.array([shift], np.float32))
    found = newest - before
    return high_pass(found) / np.float32(max(noise_sigma(found, roundings=2), 1e-6))
