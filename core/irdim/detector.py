"""Frames in, detections out: the input step, engine, decoding. The same steps for `evaluate`, `mine` and the edge."""

import dataclasses
import logging
from dataclasses import dataclass, field

import numpy as np

from irdim.boxes import Detection
from irdim.bundle import Bundle, ModelCard
from irdim.engines import Engine
from irdim.engines.choice import open_bundle_engine
from irdim.engines.tensorrt import TensorRtEngine
from irdim.errors import InputError
from irdim.evidence import Evidence
from irdim.grid import decode
from irdim.input_step import Input, InputStep, Prepared
from irdim.sources import Frame

logger = logging.getLogger("irdim.detector")
FAINT = 0.02  # the network's own score from which there is a detection at all


@dataclass(frozen=True)
class Step:
    """What became of one frame. status: 'ok', or 'warming' with a reason and no detections; detections: every one of at least the low threshold,
    best first; shift: camera motion (dy, dx) in px since the frame before, (0, 0) where it is not registered."""

    frame: Frame
    status: str
    reason: str = ""
    detections: list[Detection] = field(default_factory=list)
    shift: tuple[float, float] = (0.0, 0.0)


def open_input(card: ModelCard, engine: Engine) -> Input:
    """On the GPU where the engine is there, else on the host."""
    if isinstance(engine, TensorRtEngine):
        from irdim.cuda.input import GpuInputStep

        try:
            return GpuInputStep(card, engine)
        except InputError as error:
            logger.warning("the input step runs on the host: %s", error)
    return InputStep(card)


class Detector:
    """A network with its input step, fed frame by frame."""

    def __init__(self, card: ModelCard, engine: Engine) -> None:
        self.card, self.engine = card, engine
        self.thresholds = card.thresholds
        self.input = open_input(card, engine)
        self._evidence = Evidence() if card.evidence else None

    @classmethod
    def from_bundle(
        cls, bundle: Bundle, *, precision: str = "int8", threads: int = 0, engine: str = "auto"
    ) -> "Detector":
        """A detector that runs a bundle's graph. threads: of ONNX Runtime, 0 for all cores; engine: one of irdim.engines.ENGINES."""
        return cls(bundle.card, open_bundle_engine(bundle, precision=precision, engine=engine, threads=threads))

    def push(self, frame: Frame) -> Step:
        """Take the newest frame; its stack's detections, or why there is no stack."""
        return self.judge(frame, self.input.push(frame))

    def judge(self, frame: Frame, prepared: Prepared | str, output: np.ndarray | None = None) -> Step:
        """What becomes of a frame that went through `input`, and perhaps through the engine too, which may run ahead in threads of their own. Frames come
        in order. output: see `detect`."""
        if isinstance(prepared, str):
            self.forget()
            return Step(frame, "warming", prepared)
        return Step(frame, "ok", "", self.detect(prepared, output), prepared.shift)

    def detect(self, prepared: Prepared, output: np.ndarray | None = None) -> list[Detection]:
        """Detections of a prepared frame, which must follow the one before it in time. output: what the engine made of it, where it has run."""
        output = self.engine.run(prepared.image) if output is None else output
        found = decode(output, self.card.stride, FAINT, prepared.shape)
        if self._evidence is not None:
            found = self._evidence.update(found, prepared.shift)
        scores = self.card.scale(np.array([d.score for d in found]))
        scaled = [dataclasses.replace(d, score=float(s)) for d, s in zip(found, scores, strict=True)]
        return [d for d in scaled if d.score >= self.thresholds.low]

    def prime(self, frames: list[Frame]) -> None:
        """Take frames for history alone, oldest first, so that the next one has a full stack."""
        self.input.prime(frames)

    def reset(self) -> None:
        """Forget the frames seen so far (a new sequence begins)."""
        self.input.reset()
        self.forget()

    def forget(self) -> None:
        """Forget earlier detections, not frames: what follows is not compared with them."""
        if self._evidence is not None:
            self._evidence.reset()
