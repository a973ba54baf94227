"""The pipeline on the GPU beside the bare engine: frames/s, and how long the GPU takes for the input step.

    python bench/gpu_pipeline.py [BUNDLE] [--size 640x512] [--frames 500] [--precision int8]

Both run in turns in one process; the scene is replayed from memory. "in step" takes frame after frame; "ahead" has the input step in a thread of its own,
one frame before the engine, as the daemon has it. Needs TensorRT, pycuda, NVRTC and a GPU.
"""

import argparse
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import irdim_edge
from irdim.bundle import Bundle
from irdim.cuda.input import GpuInputStep
from irdim.detector import Detector
from irdim.engines.options import parse_size
from irdim.errors import InputError
from irdim.input_step import Prepared
from irdim.sources import Frame
from irdim_edge.benchmark import SCENE, moving_scene

ROUNDS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(irdim_edge.__file__).with_name("starter"))
    parser.add_argument("--size", default="640x512")
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    chosen = parser.parse_args()
    try:
        size = parse_size(chosen.size)
        detector = Detector.from_bundle(Bundle.load(chosen.bundle), precision=chosen.precision, engine="tensorrt")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not isinstance(detector.input, GpuInputStep):
        print("error: the input step does not run on the GPU here", file=sys.stderr)
        return 2
    frames = endless(moving_scene(size), detector.card.interval or 0.04)
    last = None
    while not isinstance(last, Prepared):  # until the history is full; warms everything up besides
        last = detector.input.push(next(frames))
    detector.detect(last)

    def bare() -> None:
        for _ in range(chosen.frames):
            detector.engine.run(last.image)

    def in_step() -> None:
        for _ in range(chosen.frames):
            detector.push(next(frames))

    def ahead() -> None:
        ready: queue.Queue[tuple[Frame, Prepared | str]] = queue.Queue(1)

        def prepare() -> None:
            for _ in range(chosen.frames):
                frame = next(frames)
                ready.put((frame, detector.input.push(frame)))

        thread = threading.Thread(target=prepare)
        thread.start()
        for _ in range(chosen.frames):
            detector.judge(*ready.get())
        thread.join()

    def step_alone() -> None:
        for _ in range(chosen.frames):
            detector.input.push(next(frames))
        detector.engine.stream.synchronize()

    runs = {"bare engine": bare, "input step alone": step_alone, "pipeline, in step": in_step, "pipeline, ahead": ahead}
    rates = np.array([[chosen.frames / seconds(run) for run in runs.values()] for _ in range(ROUNDS)])
    print(f"{detector.engine.name} on {detector.engine.gpu.name}, {chosen.precision}, {chosen.size}, {chosen.bundle}")
    for name, rate, ratio in zip(runs, np.median(rates, 0), np.median(rates / rates[:, :1], 0), strict=True):
        print(f"{name:20} {rate:9.1f} frames/s {1e3 / rate:8.3f} ms   {ratio:5.2f} of the bare engine")
    return 0


def endless(scene: list[np.ndarray], interval: float) -> Iterator[Frame]:
    """The scene to and fro."""
    index = 0
    while True:
        at = index % (2 * SCENE - 2)
        yield Frame(index, index * interval, scene[min(at, 2 * SCENE - 2 - at)])
        index += 1


def seconds(run: Callable[[], None]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
