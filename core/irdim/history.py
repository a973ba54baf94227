"""The ring of frames behind a detector: which four make a stack, and when a stack is void."""

import math
from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from irdim.differencing import STACK, InputSpec
from irdim.registration import Texture, estimate_shift, stack_shifts, texture
from irdim.registration.kernels import the_kernels
from irdim.sources import Frame

GAP = 1.5  # nominal intervals; a longer wait between frames voids what came before


@dataclass(frozen=True)
class Stack:
    """frames: four of (H, W) in the sensor's depth, newest first; shifts: (3, 2) content motion (dy, dx) px from each older one to the newest."""

    frames: tuple[np.ndarray, ...]
    shifts: np.ndarray


class _Held:
    """A frame in the ring, with its texture and the motion to it once somebody wants them: not every frame comes into a stack."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._motion: tuple[float, float] | None = None

    @cached_property
    def texture(self) -> Texture:
        return texture(self.frame.pixels)

    def motion_from(self, older: "_Held") -> tuple[float, float]:
        """Content motion to here; older: a frame step before in the ring, where it is always the same."""
        if self._motion is None:
            self._motion = estimate_shift(older.texture, self.texture)
        return self._motion


class History:
    """Keeps 3 * frame_step + 1 frames and gives the stack of the newest, or the reason why there is none."""

    def __init__(self, spec: InputSpec, interval: float | None = None) -> None:
        """interval: nominal seconds between frames; None where it is not known (no wait is then too long)."""
        self.spec, self.interval = spec, interval
        if spec.register:
            the_kernels()  # compiled now, if ever, not when the first frame waits for it
        self._ring: deque[_Held] = deque(maxlen=spec.history)
        self._void = "history"
        self.breaks = 0  # how often what came before was forgotten

    def reset(self, reason: str = "history") -> None:
        """Forget all frames; `reason` is what `push` gives until the ring is full again."""
        self._ring.clear()
        self._void = reason
        self.breaks += 1

    def push(self, frame: Frame) -> Stack | str:
        """Add the newest frame. Returns its Stack, or why there is none yet: 'history', 'gap' or 'size'."""
        return self.add(frame) or Stack(tuple(held.frame.pixels for held in self._picked()), self.shifts())

    def add(self, frame: Frame) -> str:
        """As `push`, for a frame whose stack nobody wants: nothing is registered. Returns why there is none, or nothing."""
        reason = self._breaks(frame)
        if reason:
            self.reset(reason)
        self._ring.append(_Held(frame))
        if len(self._ring) < self.spec.history:
            return self._void
        self._void = "history"
        return ""

    def shifts(self) -> np.ndarray:
        """Of the newest stack, which must be there: see Stack."""
        if not self.spec.register:
            return np.zeros((STACK - 1, 2), np.float32)
        return stack_shifts(
            self._picked(),
            lambda older, newer: newer.motion_from(older),
            lambda older, newer: estimate_shift(older.texture, newer.texture),
        )

    def _picked(self) -> list[_Held]:
        return [self._ring[-1 - k * self.spec.frame_step] for k in range(STACK)]

    def _breaks(self, frame: Frame) -> str:
        if not self._ring:
            return ""
        last = self._ring[-1].frame
        if frame.pixels.shape != last.pixels.shape or frame.pixels.dtype != last.pixels.dtype:
            return "size"
        return "" if 0 < frame.time - last.time <= longest_wait(self.interval) else "gap"


def longest_wait(interval: float | None) -> float:
    """Seconds from one frame to the next that are no gap; none at all is one, and so is a clock that goes back."""
    return GAP * interval if interval else math.inf


def with_full_history(times: np.ndarray, spec: InputSpec, interval: float | None) -> np.ndarray:
    """(T,) bool: the frames of one size, at `times` (T,), that History gives a stack for."""
    index = np.arange(len(times))
    begins = np.zeros(len(times), bool)  # after a gap
    waited = np.diff(times)
    begins[1:] = ~((waited > 0) & (waited <= longest_wait(interval)))
    return index - np.maximum.accumulate(np.where(begins, index, 0)) >= spec.history - 1
