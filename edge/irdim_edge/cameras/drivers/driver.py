"""What a library that reaches a camera is made to look like."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class CameraLost(Exception):
    """The camera is not there, or no longer; it may come back."""


@dataclass(frozen=True, eq=False)
class Grabbed:
    """A frame from a driver. pixels: (H, W) uint8 or uint16, no longer the driver's memory; time: seconds on the driver's clock; stamped: the same
    moment on time.monotonic(); number: the camera's own count of frames, where it has one."""

    pixels: np.ndarray
    time: float
    stamped: float
    number: int | None = None


class Driver(Protocol):
    """A camera through one library. Made once (InputError where the library is absent or the address is wrong), started as often as it is lost."""

    name: str

    def start(self) -> None:
        """Begin to stream. Raises CameraLost."""

    def grab(self, seconds: float) -> Grabbed | None:
        """The next frame, or None where none came within so many seconds. Raises CameraLost."""

    def stop(self) -> None:
        """End the stream, whatever its state; a later start begins anew."""
