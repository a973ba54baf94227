"""How fast a bundle runs here: the whole pipeline beside the bare engine, in turns in one run, and each stage."""

import time
from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np

from irdim.bundle import Bundle
from irdim.detector import Detector, InputStep, Prepared
from irdim.engines import Engine
from irdim.engines.choice import open_bundle_engine
from irdim.sources import Frame
from irdim.tracks import Tracker, TrackerOptions

ROUNDS = 5
SCENE = 16  # frames of the scene, which goes to and fro


@dataclass(frozen=True)
class Measured:
    """One graph on one engine. pipeline, bare: frames/s, medians over the rounds; ratio: median of the rounds' own; milliseconds: stage to (p50, p99)."""

    precision: str
    engine: str
    pipeline: float
    bare: float
    ratio: float
    milliseconds: dict[str, tuple[float, float]]


class _Timed:
    """An engine that notes how long it takes."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name = engine, engine.name
        self.seconds: list[float] = []

    def run(self, image: np.ndarray) -> np.ndarray:
        begun = time.perf_counter()
        output = self.engine.run(image)
        self.seconds.append(time.perf_counter() - begun)
        return output


def measure(
    bundle: Bundle, *, precision: str, engine: str, threads: int, size: tuple[int, int], frames: int
) -> Measured:
    """size: (H, W) of the frames; frames: of each round. Raises InputError where the engine cannot be had."""
    timed = _Timed(open_bundle_engine(bundle, precision=precision, engine=engine, threads=threads))
    detector, step = Detector(bundle.card, timed), InputStep(bundle.card)
    tracker, scene = Tracker(TrackerOptions(report=bundle.card.thresholds.report)), moving_scene(size)
    seconds: dict[str, list[float]] = defaultdict(list)
    interval, index, last = bundle.card.interval or 0.04, 0, None
    while last is None:  # until the history is full; warms everything up besides
        last, index = _push(detector, step, tracker, scene, index, interval, seconds), index + 1
    seconds.clear()
    timed.seconds.clear()
    rates = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(frames):
            last, index = _push(detector, step, tracker, scene, index, interval, seconds) or last, index + 1
        pipeline = frames / (time.perf_counter() - begun)
        begun = time.perf_counter()
        for _ in range(frames):
            timed.engine.run(last.image)
        rates.append((pipeline, frames / (time.perf_counter() - begun)))
    seconds["engine"] = timed.seconds
    seconds["decode"] = [both - own for both, own in zip(seconds.pop("detect"), timed.seconds, strict=True)]
    milliseconds = {
        stage: (1e3 * float(np.median(seconds[stage])), 1e3 * float(np.quantile(seconds[stage], 0.99)))
        for stage in ("input", "engine", "decode", "track", "whole")
    }
    own = np.array(rates)
    return Measured(
        precision,
        timed.name,
        float(np.median(own[:, 0])),
        float(np.median(own[:, 1])),
        float(np.median(own[:, 0] / own[:, 1])),
        milliseconds,
    )


def _push(
    detector: Detector,
    step: InputStep,
    tracker: Tracker,
    scene: list[np.ndarray],
    index: int,
    interval: float,
    seconds: dict[str, list[float]],
) -> Prepared | None:
    """One frame through all stages; what the network read."""
    at = index % (2 * SCENE - 2)
    frame = Frame(index, index * interval, scene[min(at, 2 * SCENE - 2 - at)])
    times = [time.perf_counter()]
    prepared = step.push(frame)
    if isinstance(prepared, str):
        return None
    times.append(time.perf_counter())
    detections = detector.detect(prepared)
    times.append(time.perf_counter())
    tracker.update(frame.index, frame.time, detections, prepared.shift)
    times.append(time.perf_counter())
    for stage, spent in zip(("input", "detect", "track"), np.diff(times), strict=True):
        seconds[stage].append(float(spent))
    seconds["whole"].append(times[-1] - times[0])
    return prepared


def moving_scene(size: tuple[int, int]) -> list[np.ndarray]:
    """SCENE frames (H, W) uint16 of clouds that drift by half a pixel, under noise of 12 counts, with five spots of 6 sigma."""
    rng, (height, width) = np.random.default_rng(0), size
    clouds = 4000 + 6000 * cv2.GaussianBlur(rng.normal(size=(height, width + SCENE)).astype(np.float32), (0, 0), 9)
    spots = rng.uniform((10, 10), (height - 10, width - 10), (5, 2))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    frames = []
    for t in range(SCENE):
        image = clouds[:, t // 2 : t // 2 + width] + rng.normal(0, 12, size)
        for top, left in spots:
            image += 72 * np.exp(-((x - left - 0.7 * t) ** 2 + (y - top - 0.3 * t) ** 2) / 3)
        frames.append(np.rint(image.clip(0, 65535)).astype(np.uint16))
    return frames
