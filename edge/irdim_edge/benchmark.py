"""How fast a bundle runs here: the whole pipeline beside the bare engine, in turns in one run, and each stage."""

import contextlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from irdim.bundle import Bundle
from irdim.detector import Detector
from irdim.engines.choice import open_bundle_engine
from irdim.sources import Frame
from irdim.tracks import Tracker, TrackerOptions
from irdim_edge.cameras import Began, Shot
from irdim_edge.output.messages import Messages
from irdim_edge.pipeline import UNDER_WAY, Feed, Ready, engine_threads

ROUNDS = 5
STAGES = ("input", "engine", "decode", "track")
SCENE = 16  # frames of the scene, which goes to and fro


@dataclass(frozen=True)
class Measured:
    """One graph on one engine. threads: of ONNX Runtime in the pipeline; pipeline, bare: frames/s, medians over the rounds; ratio: median of the rounds'
    own; milliseconds: stage to (p50, p99)."""

    precision: str
    engine: str
    threads: int
    pipeline: float
    bare: float
    ratio: float
    milliseconds: dict[str, tuple[float, float]]


class _Memory:
    """A camera that gives `length` frames of a scene, going to and fro, as fast as they are taken."""

    live, hangs, trouble = False, False, ""

    def __init__(self, scene: list[np.ndarray], interval: float, length: int) -> None:
        self.state: dict[str, str | int | float] = {}
        self._scene, self._interval, self._length = scene, interval, length
        self.counts: Counter[str] = Counter()

    def shots(self, stopping: threading.Event) -> Iterator[Began | Shot]:
        yield Began("memory", self._interval)
        period = 2 * len(self._scene) - 2
        for index in range(self._length):
            at = index % period
            frame = Frame(index, index * self._interval, self._scene[min(at, period - at)])
            yield Shot(frame, time.time(), time.monotonic())


class _NoTakeover:
    def take(self) -> None:
        return None

    def failed(self, what: str, error: BaseException) -> None:
        raise error


def measure(
    bundle: Bundle, *, precision: str, engine: str, threads: int, size: tuple[int, int], frames: int
) -> Measured:
    """size: (H, W) of the frames; frames: of each round; threads: of ONNX Runtime, pipeline and bare engine; 0: as the daemon chooses them, the bare engine
    with all cores. The pipeline is the daemon's: the input step of a frame, and decoding, tracking and the message of another, beside the engine.
    Raises InputError where the engine cannot be had."""
    own_threads = threads or engine_threads()
    detector = Detector.from_bundle(bundle, precision=precision, engine=engine, threads=own_threads)
    bare = open_bundle_engine(bundle, precision=precision, engine=engine, threads=threads)
    scene = moving_scene(size)
    seconds: dict[str, list[float]] = defaultdict(list)
    image = _pipeline(bundle, detector, scene, 5, seconds)[1]  # warms everything up
    bare.run(image)
    seconds.clear()
    rates = []
    for _ in range(ROUNDS):
        pipeline, image = _pipeline(bundle, detector, scene, frames, seconds)
        begun = time.perf_counter()
        for _ in range(frames):
            bare.run(image)
        rates.append((pipeline, frames / (time.perf_counter() - begun)))
    seconds["sum"] = [sum(parts) for parts in zip(*(seconds[stage] for stage in STAGES), strict=True)]
    milliseconds = {
        stage: (1e3 * float(np.median(seconds[stage])), 1e3 * float(np.quantile(seconds[stage], 0.99)))
        for stage in (*STAGES, "sum")
    }
    own = np.array(rates)
    return Measured(
        precision,
        detector.engine.name,
        own_threads,
        float(np.median(own[:, 0])),
        float(np.median(own[:, 1])),
        float(np.median(own[:, 0] / own[:, 1])),
        milliseconds,
    )


def _pipeline(
    bundle: Bundle, detector: Detector, scene: list[np.ndarray], frames: int, seconds: dict[str, list[float]]
) -> tuple[float, Any]:
    """Frames a second of so many frames with a full history; and what the network read of the last. Frames before them fill the pipe, and frames after
    them keep it filled."""
    interval, history = bundle.card.interval or 0.04, bundle.card.input.history
    camera = _Memory(scene, interval, history + frames + 2 * UNDER_WAY)
    tracker, messages = Tracker(TrackerOptions(report=bundle.card.thresholds.report)), Messages(None)
    detector.reset()
    feed = Feed(camera, detector, _NoTakeover(), threading.Event(), kept=0, note=_raise)
    taken, image = [], None
    with contextlib.closing(feed):
        for item in feed:
            if not isinstance(item, Ready) or isinstance(item.prepared, str):
                continue
            times = [time.perf_counter()]
            step = detector.judge(item.shot.frame, item.prepared, item.output)
            times.append(time.perf_counter())
            tracker.update(step.frame.index, step.frame.time, step.detections, step.shift)
            messages.line("memory", item.shot, step, tracker.links, tracker.tracks, tracker.options.report)
            times.append(time.perf_counter())
            seconds["input"].append(item.seconds)
            seconds["engine"].append(item.engine_seconds)
            for stage, spent in zip(("decode", "track"), np.diff(times), strict=True):
                seconds[stage].append(float(spent))
            taken.append(times[0])
            image = item.prepared.image
    counted = taken[UNDER_WAY : UNDER_WAY + frames + 1]
    return (len(counted) - 1) / (counted[-1] - counted[0]), image


def _raise(error: BaseException) -> None:
    raise error


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
