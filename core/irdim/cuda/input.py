"""The detector's input step on the GPU: what irdim.input_step.InputStep does, with images that never come back to the host.

Only the newest frame is uploaded. Which frames belong together, and how far the camera moved between them, is found on the host as ever (irdim.history,
irdim.registration): that takes the camera's own pixels, which are there.
"""

from typing import Any, Protocol

from irdim.bundle import ModelCard
from irdim.cuda.gpu import Gpu, OnGpu
from irdim.cuda.kernels import Kernels, NetworkInput
from irdim.cuda.memory import GpuImage
from irdim.cuda.ring import FrameRing
from irdim.history import History
from irdim.input_step import Prepared, motion
from irdim.sources import Frame


class Engine(Protocol):
    """What runs next on the same stream."""

    gpu: Gpu
    stream: Any


class GpuInputStep(OnGpu):
    """History and differencing before one TensorRT engine, on its stream: frame by frame to what the engine reads. One thread pushes; another may run the
    engine on what came out before."""

    def __init__(self, card: ModelCard, engine: Engine) -> None:
        """Raises InputError where the kernels cannot be compiled for the GPU."""
        self.card = card
        self.gpu, self._stream = engine.gpu, engine.stream
        self._kernels = Kernels(engine.gpu)
        self._history = History(card.input, card.interval)
        self._ring: FrameRing | None = None
        self._step: NetworkInput | None = None

    def expect(self, interval: float | None) -> None:
        """See InputStep.expect."""
        self._history.interval = self.card.interval or interval

    def push(self, frame: Frame) -> Prepared | str:
        """See InputStep.push. The image is a GpuImage."""
        void = self._history.add(frame)
        with self.gpu.current():
            ring, step = self._upload(frame)
            if void:
                return void
            shifts = self._history.shifts()
            image: GpuImage = step.run(ring, shifts)
        return Prepared(image, ring.shape, motion(shifts, self.card.input))

    @property
    def breaks(self) -> int:
        """See Input."""
        return self._history.breaks

    def prime(self, frames: list[Frame]) -> None:
        """See InputStep.prime."""
        for frame in frames:
            self._history.add(frame)
            with self.gpu.current():
                self._upload(frame)

    def reset(self, reason: str = "history") -> None:
        """See InputStep.reset."""
        self._history.reset(reason)

    def _upload(self, frame: Frame) -> tuple[FrameRing, NetworkInput]:
        """The frame goes into the ring; both are made anew where frames of another size or depth begin."""
        height, width = frame.pixels.shape
        shape, dtype, spec = (height, width), frame.pixels.dtype, self.card.input
        ring, step = self._ring, self._step
        if ring is None or step is None or (ring.shape, ring.dtype) != (shape, dtype):
            self._stream.synchronize()  # what is under way still reads the old ones
            ring = FrameRing(self.gpu, self._stream, spec.history, shape, dtype)
            step = NetworkInput(self._kernels, self._stream, spec, self.card.stride, shape)
            self._ring, self._step = ring, step
        ring.push(frame.pixels)
        return ring, step
