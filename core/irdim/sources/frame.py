"""What every source of frames gives."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One frame: its place in the sequence, its time in seconds, its pixels (H, W) uint8 or uint16, as recorded."""

    index: int
    time: float
    pixels: np.ndarray


@runtime_checkable
class FrameSource(Protocol):
    """A sequence that can be read from its beginning as often as it is iterated over, one frame in memory at a time."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every frame."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or uint16, the same in every frame."""

    @property
    def interval(self) -> float | None:
        """Nominal seconds between frames; None where nothing says it."""

    @property
    def length(self) -> int | None:
        """Number of frames; None, or only nearly right in a video, where the container does not say."""

    def __iter__(self) -> Iterator[Frame]: ...
