"""The input step of the GPU on the host's own memory (cuda_on_host), frame by frame, against the one on the host."""

import gc
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cuda_cases import follow_both, moving_frames
from cuda_on_host import HostGpu, compile_on_host

import irdim_edge
from irdim.bundle import Bundle
from irdim.cuda import compiler
from irdim.cuda.compiler import kept_kernels, kernels_for
from irdim.cuda.gpu import OnGpu
from irdim.cuda.input import GpuInputStep
from irdim.detector import Detector
from irdim.differencing import CHANNELS
from irdim.engines.onnx import OnnxEngine
from irdim.engines.tensorrt import TensorRtEngine
from irdim.input_step import InputStep, Prepared
from irdim.sources import Frame
from irdim_edge.benchmark import moving_scene

STARTER = Path(irdim_edge.__file__).with_name("starter")


@pytest.fixture(scope="module")
def gpu(tmp_path_factory):
    gpu = HostGpu(compile_on_host(tmp_path_factory.mktemp("cuda")))
    yield gpu
    gc.collect()
    assert not gpu.cuda.faults


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One folder of compiled kernels for all tests here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cuda-cache"))


class Stream(OnGpu):
    """What GpuInputStep takes of an engine."""

    def __init__(self, gpu):
        self.gpu = gpu
        with gpu.current():
            self.stream = gpu.cuda.Stream()


class ReadsTheGpu(TensorRtEngine):
    """ONNX Runtime in TensorRT's place: shows which images the detector gives it."""

    def __init__(self, gpu, graph):
        self.gpu, self.name = gpu, "host"
        with gpu.current():
            self.stream = gpu.cuda.Stream()
        self._engine = OnnxEngine(graph, threads=1)

    def run(self, image):
        return self._engine.run(image.to_host())


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("register", [False, True])
def test_frame_by_frame_the_gpu_gives_what_the_host_gives(gpu, kind, register):
    assert follow_both(Stream(gpu), kind, register) >= 20


def test_a_wait_is_too_long_by_the_interval_that_is_told_where_the_card_states_none(gpu):
    step = GpuInputStep(replace(Bundle.load(STARTER).card, interval=None), Stream(gpu))
    frames = [Frame(i, i * 0.04, f) for i, f in enumerate(moving_frames(step.card.input.history + 1))]
    step.expect(0.04)
    step.prime(frames[:-1])
    assert step.push(replace(frames[-1], time=60.0)) == "gap"


def test_inputs_that_wait_are_not_written_over_and_their_memory_is_used_again(gpu):
    card = Bundle.load(STARTER).card
    step, host = GpuInputStep(card, Stream(gpu)), InputStep(card)
    interval = card.interval or 0.04
    frames = [Frame(i, i * interval, f) for i, f in enumerate(moving_frames(card.input.history + 12))]
    step.prime(frames[: card.input.history - 1])
    host.prime(frames[: card.input.history - 1])
    waiting = [(step.push(f), host.push(f)) for f in frames[card.input.history - 1 :][:4]]
    for given, expected in waiting:
        assert np.abs(given.image.to_host() - expected.image).max() < 1e-4
    made = gpu.cuda.allocated
    del waiting, given
    for frame in frames[card.input.history + 3 :]:
        assert isinstance(step.push(frame), Prepared)
    assert gpu.cuda.allocated == made


@pytest.mark.parametrize("frames", [None, 0, 15], ids=["engine", "detector", "detector that has seen frames"])
def test_what_another_thread_drops_is_given_back(gpu, frames):
    """As at a takeover: pycuda frees nothing while its context is not the thread's."""
    gc.collect()
    before, bundle = gpu.cuda.held, Bundle.load(STARTER)
    engine = ReadsTheGpu(gpu, bundle.graph("fp32"))
    last = [engine if frames is None else Detector(bundle.card, engine)]
    del engine
    for i, pixels in enumerate(moving_frames(15)[: frames or 0]):
        last[0].push(Frame(i, i * (bundle.card.interval or 0.04), pixels))
    assert gpu.cuda.held > before + (5 if frames else 0)
    thread = threading.Thread(target=last.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert gpu.cuda.held == before
    assert not gpu.cuda.faults


def test_a_detector_on_the_gpu_finds_what_one_on_the_host_finds(gpu):
    bundle = Bundle.load(STARTER)
    graph = bundle.graph("fp32")
    detector = Detector(bundle.card, ReadsTheGpu(gpu, graph))
    assert isinstance(detector.input, GpuInputStep)
    other = Detector(bundle.card, OnnxEngine(graph, threads=1))
    interval, found = bundle.card.interval or 0.04, 0
    for i, pixels in enumerate(moving_scene((200, 260))):
        given, expected = (d.push(Frame(i, i * interval, pixels)) for d in (detector, other))
        assert given.status == expected.status
        places = [[(d.x, d.y, d.score) for d in step.detections] for step in (given, expected)]
        np.testing.assert_allclose(*places, atol=1e-3)
        found += len(given.detections)
    assert found


def test_without_a_compiler_the_input_step_runs_on_the_host(gpu, monkeypatch, caplog):
    monkeypatch.setattr(gpu, "architecture", "sm_1")
    bundle = Bundle.load(STARTER)
    detector = Detector(bundle.card, ReadsTheGpu(gpu, bundle.graph("fp32")))
    assert isinstance(detector.input, InputStep)
    assert "no NVRTC for sm_1" in caplog.text


def test_kept_kernels_that_do_not_load_are_compiled_at_the_next_start(gpu, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = kept_kernels(gpu.architecture, tmp_path / "irdim" / "engines")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"made by an NVRTC that is newer than the driver")
    bundle = Bundle.load(STARTER)
    engine = ReadsTheGpu(gpu, bundle.graph("fp32"))
    assert isinstance(Detector(bundle.card, engine).input, InputStep)
    assert "do not load on the host (device kernel image is invalid)" in caplog.text
    assert isinstance(Detector(bundle.card, engine).input, GpuInputStep)
    assert kept.read_bytes()[:4] == b"\x7fELF"


def test_kernels_of_another_nvrtc_are_not_taken(tmp_path, monkeypatch):
    kernels_for("sm_87", tmp_path)
    nvrtc = compiler.nvrtc_for("sm_87")
    monkeypatch.setattr(compiler, "nvrtc_for", lambda architecture: replace(nvrtc, version=(99, 0)))
    kernels_for("sm_87", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_kernels_are_compiled_once(tmp_path):
    first = kernels_for("sm_87", tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"kept")
    assert kernels_for("sm_87", tmp_path) == b"kept"
    assert first[:4] == b"\x7fELF"
    kernels_for("sm_90", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
