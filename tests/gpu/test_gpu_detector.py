"""TensorRT on a GPU against ONNX Runtime, and the detector on the GPU against the one on the host. Needs TensorRT, pycuda, NVRTC and a GPU."""

import numpy as np
import pytest

from irdim.bundle import Bundle
from irdim.cuda.input import GpuInputStep
from irdim.detector import Detector
from irdim.engines.building import open_built
from irdim.engines.choice import engine_graph, open_bundle_engine
from irdim.engines.options import BuildOptions
from irdim.input_step import InputStep, Prepared
from irdim.sources import Frame
from irdim_edge.benchmark import moving_scene
from irdim_edge.config import STARTER_FOLDER


@pytest.fixture(scope="session", params=["fp32", "int8"])
def pair(with_tensorrt, request, tmp_path_factory):
    """A bundle's detectors: on the host, and on the GPU with an engine built here, FP32 without halves."""
    bundle, cache = Bundle.load(STARTER_FOLDER), tmp_path_factory.mktemp("engines")
    host = Detector(bundle.card, open_bundle_engine(bundle, precision=request.param, engine="onnxruntime"))
    options = BuildOptions(half=False)
    built = open_built(engine_graph(bundle, request.param), options, cache)
    return request.param, host, Detector(bundle.card, built.engine)


def frames_of(detector: Detector) -> list[Frame]:
    interval = detector.card.interval or 0.04
    return [Frame(i, i * interval, f) for i, f in enumerate(moving_scene((256, 320)))]


def test_the_engine_says_what_onnx_runtime_says(pair):
    precision, host, other = pair
    for frame in frames_of(host):
        prepared = host.input.push(frame)
        if isinstance(prepared, Prepared):
            expected, given = (d.engine.run(prepared.image) for d in (host, other))
            error = np.sqrt(np.mean((given - expected) ** 2)) / expected.std()
            assert error < (0.01 if precision == "fp32" else 0.3)  # TF32 keeps ten bits


def test_the_detector_on_the_gpu_finds_what_the_one_on_the_host_finds(pair):
    precision, host, other = pair
    assert isinstance(host.input, InputStep)
    assert isinstance(other.input, GpuInputStep)
    host.reset()
    other.reset()
    found = matched = 0
    for frame in frames_of(host):
        expected, given = host.push(frame), other.push(frame)
        assert given.status == expected.status
        for d in expected.detections:
            if d.score >= 2 * host.thresholds.low:  # well above where one may have it and the other not
                found += 1
                matched += any(abs(o.x - d.x) < 0.5 and abs(o.y - d.y) < 0.5 for o in given.detections)
    assert found
    assert matched >= (0.995 if precision == "fp32" else 0.95) * found
