"""What stands before the network: history and differencing, frame by frame, on the host. irdim.cuda.input does the same on the GPU."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from irdim.bundle import ModelCard
from irdim.differencing import InputSpec
from irdim.history import History
from irdim.native.input import native, padded_input
from irdim.sources import Frame


@dataclass(frozen=True)
class Prepared:
    """image: (C, H, W) float32, what the network reads, padded to its stride: an array, or a GpuImage that only an engine of the same GPU reads; shape:
    (H, W) of the frame; shift: as in Step."""

    image: Any
    shape: tuple[int, int]
    shift: tuple[float, float]


class Input(Protocol):
    """History and differencing: frame by frame to what the network reads."""

    @property
    def breaks(self) -> int:
        """How often what came before was forgotten: a gap, another size, a reset."""
        ...

    def expect(self, interval: float | None) -> None:
        """Seconds between the frames that come now, where somebody knows: what a card that states none goes by to see a gap."""

    def push(self, frame: Frame) -> Prepared | str:
        """Take the newest frame. Returns its input, or the reason why there is none yet."""
        ...

    def prime(self, frames: list[Frame]) -> None:
        """Take frames for history alone, oldest first."""

    def reset(self, reason: str = "history") -> None:
        """Forget the frames seen so far; `reason` is what `push` gives until there are enough again."""


class InputStep:
    """The Input on the host."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self._history = History(card.input, card.interval)
        native()  # compiled now, if ever, not when the first frame waits for it

    def expect(self, interval: float | None) -> None:
        """See Input."""
        self._history.interval = self.card.interval or interval

    def push(self, frame: Frame) -> Prepared | str:
        """See Input."""
        stack = self._history.push(frame)
        if isinstance(stack, str):
            return stack
        image = padded_input(stack.frames, self.card.input, stack.shifts, self.card.stride)
        height, width = frame.pixels.shape
        return Prepared(image, (height, width), motion(stack.shifts, self.card.input))

    @property
    def breaks(self) -> int:
        """See Input."""
        return self._history.breaks

    def prime(self, frames: list[Frame]) -> None:
        """See Input."""
        for frame in frames:
            self._history.add(frame)

    def reset(self, reason: str = "history") -> None:
        """See Input."""
        self._history.reset(reason)


def motion(shifts: np.ndarray, spec: InputSpec) -> tuple[float, float]:
    """Camera motion (dy, dx) in px a frame, from the shifts of a stack, (3, 2)."""
    dy, dx = shifts[0] / spec.frame_step
    return float(dy), float(dx)
