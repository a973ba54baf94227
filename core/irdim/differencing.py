"""From a stack of frames to the network's input: alignment, Eq. (1), high-pass, noise scale, compression. NumPy reference.

Every input kind takes the same steps, so that comparing them is fair:

    frames --align--> planes (differences and/or frames, in counts) --high-pass--> / sigma --> 4 asinh(x / 4)

Shifts and sigmas are inputs: they come from the whole frame, so that a patch and the frame it was cut from are treated alike.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from irdim.errors import InputError
from irdim.noise import noise_sigma

STACK = 4  # frames in a stack, newest first (the paper's N)
HIGH_PASS_RADIUS = 10  # px; the local mean is taken over a (2 r + 1)-wide square, more than twice the largest target
KNEE = 4.0  # noise sigmas; where compression leaves the straight line
INPUT_RANGE = 16.0  # what an INT8 input covers, symmetric, after compression: 109 sigma
SIGN = np.uint32(1 << 31)  # of a float32
CHANNELS = {"single": 1, "sequence": 4, "difference": 3, "difference+frame": 4}


@dataclass(frozen=True)
class InputSpec:
    """What the network sees. kind: one of CHANNELS; frame_step: frames between neighbours of a stack; register: align them first."""

    kind: str = "difference+frame"
    frame_step: int = 1
    register: bool = False

    def __post_init__(self) -> None:
        if self.kind not in CHANNELS:
            raise InputError(f"input '{self.kind}' is not known; choose one of {', '.join(CHANNELS)}")
        if self.frame_step < 1:
            raise InputError(f"frame step {self.frame_step}: must be 1 or more")

    @property
    def channels(self) -> int:
        return CHANNELS[self.kind]

    @property
    def history(self) -> int:
        """Frames that a live ring holds: 3 * frame_step + 1."""
        return (STACK - 1) * self.frame_step + 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


Frames = np.ndarray | Sequence[np.ndarray]  # four of one shape (H, W), newest first, in the sensor's depth
NO_SHIFT = np.zeros((STACK - 1, 2), np.float32)


def align(stack: Frames, shifts: np.ndarray) -> np.ndarray:
    """Lay the older frames over the newest. stack: (n, H, W), newest first; shifts: (n - 1, 2) content motion (dy, dx) px from each older
    frame to the newest. Returns (n, H, W) float32. Whole pixels first (what comes from outside is taken from the newest frame, so its
    difference is zero), then the rest bilinearly."""
    newest = stack[0].astype(np.float32)
    return np.stack([newest, *(_laid_over(newest, *older) for older in zip(stack[1:], shifts, strict=True))])


def _laid_over(newest: np.ndarray, frame: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """One older frame, see `align`."""
    dy, dx = np.asarray(shift, np.float32)
    whole_y, whole_x = whole_pixels(dy), whole_pixels(dx)
    moved = move_whole(frame, whole_y, whole_x, newest)
    _move_part(moved, np.float32(dy - whole_y), axis=0)
    _move_part(moved, np.float32(dx - whole_x), axis=1)
    return moved


def whole_pixels(shift: float) -> int:
    """The whole part of a shift: the nearest integer (halves to even)."""
    return int(np.rint(shift))


def move_whole(frame: np.ndarray, dy: int, dx: int, outside: np.ndarray) -> np.ndarray:
    """frame moved by whole pixels, (H, W) of outside's dtype, in memory of its own; where nothing comes in, `outside` (H, W) shows."""
    if dy == dx == 0:
        return frame.astype(outside.dtype)
    height, width = frame.shape
    moved = outside.copy()
    if abs(dy) < height and abs(dx) < width:
        moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = frame[
            max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
        ]
    return moved


def _move_part(frame: np.ndarray, part: np.float32, axis: int) -> None:
    """Move by -0.5..0.5 px along one axis, linearly, in place; the border pixel is repeated."""
    if part == 0:
        return
    step = 1 if part > 0 else -1
    here, neighbour, edge = _beside(step, axis)
    weight = np.abs(part)
    weighed = frame * weight
    frame *= np.float32(1) - weight
    frame[here] += weighed[neighbour]
    frame[edge] += weighed[edge]


@lru_cache(maxsize=4)
def _beside(step: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...], tuple[slice, ...]]:
    """Of an image: all pixels that have a neighbour `step` (1 or -1) before them along the axis, these neighbours, and the pixels without one."""
    rest = (slice(None),) * axis
    if step > 0:
        return (*rest, slice(1, None)), (*rest, slice(None, -1)), (*rest, slice(0, 1))
    return (*rest, slice(None, -1)), (*rest, slice(1, None)), (*rest, slice(-1, None))


def planes(stack: Frames, spec: InputSpec, shifts: np.ndarray) -> np.ndarray:
    """The input's channels in counts, (C, H, W) float32. Differences are G[k] = F[0] - F[k + 1], k = 0..2 (Eq. 1). shifts: (3, 2) as of
    `align`; of no effect unless spec.register is true."""
    counts = np.empty((spec.channels, *stack[0].shape), np.float32)
    for channel in range(spec.channels):
        _plane(channel, stack, spec, shifts, counts[channel])
    return counts


def _plane(channel: int, stack: Frames, spec: InputSpec, shifts: np.ndarray, out: np.ndarray) -> None:
    """One channel of `planes`, into `out`, (H, W) float32."""
    differences = difference_planes(spec)
    k = channel + 1 if channel < differences else channel - differences  # of the frame in the stack that it comes from
    if k == 0:
        out[...] = stack[0]
    elif not spec.register and channel < differences:
        np.subtract(stack[0], stack[k], out=out, dtype=np.float32)
    else:
        newest = stack[0].astype(np.float32)
        moved = _laid_over(newest, stack[k], shifts[k - 1] if spec.register else NO_SHIFT[0])
        if channel < differences:
            np.subtract(newest, moved, out=out)
        else:
            out[...] = moved


def difference_planes(spec: InputSpec) -> int:
    """How many of the leading channels are differences."""
    return 3 if spec.kind.startswith("difference") else 0


def high_pass(image: np.ndarray) -> np.ndarray:
    """image (H, W) or (H, W, C) float32, each channel less its local mean over what the square window covers of it. Sums are kept in float64."""
    size = (2 * HIGH_PASS_RADIUS + 1,) * 2
    mean = cv2.boxFilter(image, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT).reshape(image.shape)
    mean /= _window_count(image.shape)  # divided, so that a constant image becomes zero exactly
    return np.subtract(image, mean, out=np.empty(image.shape, np.float32), casting="same_kind")


@lru_cache(maxsize=8)
def _window_count(shape: tuple[int, ...]) -> np.ndarray:
    """Like the image, float64, read-only: the number of pixels in the window around each."""

    def along(n: int) -> np.ndarray:
        i = np.arange(n)
        return np.minimum(i + HIGH_PASS_RADIUS + 1, n) - np.maximum(i - HIGH_PASS_RADIUS, 0)

    count = np.outer(along(shape[0]), along(shape[1])).astype(np.float64)
    count = np.repeat(count, math.prod(shape[2:])).reshape(shape)
    count.flags.writeable = False
    return count


def compress(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """4 asinh(x / 4): straight for a few sigmas, logarithmic above; smooth, odd, never saturates. x: (H, W) float32; out: where it goes, not x itself.

    Written as log(y + sqrt(1 + y^2)), which runs in vector registers and is as exact as float32 needs (1e-6).
    """
    y = np.abs(x)
    y *= np.float32(1 / KNEE)
    root = np.multiply(y, y, out=out)
    root += 1
    cv2.sqrt(root, dst=root)
    root += y
    cv2.log(root, dst=root)  # four times as fast as NumPy's
    root *= np.float32(KNEE)
    sign = np.bitwise_and(x.view(np.uint32), SIGN, out=y.view(np.uint32))
    bits = root.view(np.uint32)
    bits |= sign
    return root


def noise_scale(counts: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Sigma of each channel over the whole frame, (C,) float32, in counts. counts: (C, H, W) as `planes` gives. A difference is judged as
    it is, a frame after its high-pass."""
    differences = difference_planes(spec)
    sigmas = [
        noise_sigma(p, roundings=2) if c < differences else noise_sigma(high_pass(p)) for c, p in enumerate(counts)
    ]
    return np.array(sigmas, np.float32)


def network_input(stack: Frames, spec: InputSpec, shifts: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
    """The whole step: stack (4, H, W) uint8/uint16, newest first, to (C, H, W) float32 in compressed noise sigmas. shifts: as of
    `planes`; sigma: (C,) counts, estimated from the stack where it is None (only right for a whole frame)."""
    scaled = np.empty((spec.channels, *stack[0].shape), np.float32)
    # a channel at a time, so that what it passes through stays in the cache
    for channel, out in enumerate(scaled):
        _plane(channel, stack, spec, shifts, out)
        passed = high_pass(out)
        if sigma is not None:
            passed /= np.float32(sigma[channel])
        elif channel < difference_planes(spec):
            passed /= np.float32(noise_sigma(out, roundings=2))
        else:
            passed /= np.float32(noise_sigma(passed))
        compress(passed, out)
    return scaled
