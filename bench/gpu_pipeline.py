"""What `irdim-edge bench` measures of a bundle on TensorRT, and besides how long the GPU takes for the input step alone.

    python bench/gpu_pipeline.py [BUNDLE] [--size 640x512] [--frames 500] [--precision int8]

In the pipeline the input step only queues its work on the GPU, so its time there is the host's; here the GPU is waited for. Needs TensorRT, pycuda, NVRTC
and a GPU; --engine onnxruntime runs the same on the host.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np

from irdim.bundle import GRAPHS, Bundle
from irdim.cuda.input import GpuInputStep
from irdim.detector import Detector
from irdim.engines.options import parse_size
from irdim.engines.tensorrt import TensorRtEngine
from irdim.errors import InputError
from irdim.sources import Frame
from irdim_edge.benchmark import ROUNDS, measure, moving_scene
from irdim_edge.config import STARTER_FOLDER


def main() -> int:
    """Print frames/s and ms a frame."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=STARTER_FOLDER)
    parser.add_argument("--size", default="640x512")
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--precision", choices=tuple(GRAPHS), default="int8")
    parser.add_argument("--engine", choices=("tensorrt", "onnxruntime"), default="tensorrt")
    chosen = parser.parse_args()
    graph = {"precision": chosen.precision, "engine": chosen.engine}
    try:
        bundle, size = Bundle.load(chosen.bundle), parse_size(chosen.size)
        detector = Detector.from_bundle(bundle, **graph)
        if isinstance(detector.engine, TensorRtEngine) and not isinstance(detector.input, GpuInputStep):
            raise InputError("the input step does not run on the GPU here")
        alone = input_step_alone(detector, size, chosen.frames)
        measured = measure(bundle, **graph, threads=0, size=size, frames=chosen.frames)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    where = detector.engine.gpu.name if isinstance(detector.engine, TensorRtEngine) else "the host"
    print(f"{measured.engine} on {where}, {chosen.precision}, {chosen.size}, {chosen.bundle}")
    for name, rate in (("bare engine", measured.bare), ("input step alone", alone), ("pipeline", measured.pipeline)):
        print(f"{name:20} {rate:9.1f} frames/s {1e3 / rate:8.3f} ms")
    print(f"pipeline: {measured.ratio:.2f} of the bare engine")
    return 0


def input_step_alone(detector: Detector, size: tuple[int, int], frames: int) -> float:
    """Frames/s until the GPU, where it is one, has done the last; median of ROUNDS."""
    scene, interval = moving_scene(size), detector.card.interval or 0.04
    to_and_fro = enumerate(itertools.cycle([*scene, *scene[-2:0:-1]]))

    def push(count: int) -> None:
        for index, pixels in itertools.islice(to_and_fro, count):
            detector.input.push(Frame(index, index * interval, pixels))
        if isinstance(detector.engine, TensorRtEngine):
            with detector.engine.gpu.current():
                detector.engine.stream.synchronize()

    push(detector.card.input.history + 5)  # fills the history, and warms everything up
    rates = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        push(frames)
        rates.append(frames / (time.perf_counter() - begun))
    return float(np.median(rates))


if __name__ == "__main__":
    sys.exit(main())
