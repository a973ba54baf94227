"""The CUDA kernels on a GPU against NumPy; needs pycuda and NVRTC, not TensorRT. The same cases as tests/core/test_cuda_*.py has on the host."""

import types

import numpy as np
import pytest
from cuda_cases import SCENES, SHIFTS, check, follow_both, moving_frames, random_stack

from irdim.bundle import ModelCard, Thresholds
from irdim.cuda.gpu import Gpu
from irdim.cuda.input import GpuInputStep
from irdim.cuda.kernels import Kernels
from irdim.differencing import CHANNELS, NO_SHIFT, STACK, InputSpec
from irdim.input_step import Prepared
from irdim.sources import Frame


@pytest.fixture(scope="module")
def kernels(gpu: Gpu) -> Kernels:
    return Kernels(gpu)


@pytest.fixture
def engine(gpu: Gpu) -> types.SimpleNamespace:
    """What GpuInputStep takes of an engine."""
    with gpu.current():
        return types.SimpleNamespace(gpu=gpu, stream=gpu.cuda.Stream())


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", CHANNELS)
def test_the_gpu_gives_what_numpy_gives(kernels, kind, dtype, scene):
    check(kernels, SCENES[scene]((67, 93), dtype), InputSpec(kind, 2), NO_SHIFT)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", [k for k in CHANNELS if k != "single"])
def test_the_gpu_moves_by_parts_of_a_pixel_as_numpy_does(kernels, kind, dtype, scene):
    check(kernels, SCENES[scene]((67, 93), dtype), InputSpec(kind, 1, True), SHIFTS)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (512, 640), (1080, 1920)])
def test_any_size(kernels, shape):
    for seed in range(5):
        shifts = np.random.default_rng(seed).uniform(-9, 9, (STACK - 1, 2)).astype(np.float32)
        check(kernels, random_stack(shape, np.uint16, seed), InputSpec("difference+frame", 1, True), shifts)


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("register", [False, True])
def test_frame_by_frame_the_gpu_gives_what_the_host_gives(engine, kind, register):
    assert follow_both(engine, kind, register) >= 20


def test_inputs_that_wait_are_not_written_over(engine):
    spec = InputSpec("difference+frame", 1)
    step = GpuInputStep(ModelCard("any", 1.0, 8, spec, Thresholds(0.5, 0.1)), engine)
    prepared = [step.push(Frame(i, i / 25, f)) for i, f in enumerate(moving_frames(8))]
    waiting = [p.image for p in prepared if isinstance(p, Prepared)]
    before = [image.to_host() for image in waiting]
    step.push(Frame(8, 8 / 25, moving_frames(9)[-1]))
    assert all(np.array_equal(b, image.to_host()) for b, image in zip(before, waiting, strict=True))
    assert len({image.memory.address for image in waiting}) == len(waiting)


def test_a_known_motion_is_found_within_a_twentieth_of_a_pixel(engine):
    """Found on the host, where registration runs; the kernels move by it."""
    step = GpuInputStep(ModelCard("any", 1.0, 8, InputSpec(register=True), Thresholds(0.5, 0.1)), engine)
    found = [step.push(Frame(i, i / 25, f)) for i, f in enumerate(moving_frames(8, (256, 320)))]
    shifts = [p.shift for p in found if isinstance(p, Prepared)]
    assert len(shifts) == 5
    assert np.abs(np.array(shifts) - (-0.4, -0.7)).max() < 0.05
