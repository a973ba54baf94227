"""differencing.cu without a GPU: compiled as C++ and held against NumPy, and compiled to machine code for every GPU that serves."""

import numpy as np
import pytest
from cuda_cases import SCENES, SHIFTS, check, random_stack
from cuda_on_host import HostGpu, compile_on_host
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim.cuda.compiler import compile_kernels, installed
from irdim.cuda.kernels import ARGUMENTS, Kernels
from irdim.differencing import CHANNELS, NO_SHIFT, STACK, InputSpec

NVRTC = {n.path: n for n in installed()}


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    return Kernels(HostGpu(compile_on_host(tmp_path_factory.mktemp("cuda"))))


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", CHANNELS)
def test_the_kernels_give_what_numpy_gives(kernels, kind, dtype, scene):
    check(kernels, SCENES[scene]((67, 93), dtype), InputSpec(kind, 2), NO_SHIFT)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", [k for k in CHANNELS if k != "single"])
def test_the_kernels_move_by_parts_of_a_pixel_as_numpy_does(kernels, kind, dtype, scene):
    check(kernels, SCENES[scene]((67, 93), dtype), InputSpec(kind, 1, True), SHIFTS)


PARTS = st.one_of(st.floats(-3, 3, width=32), st.sampled_from([-0.5, 0.5, 1.5, 31.0, -60.25, 500.0, -1e6, 1e-6]))


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 40), st.integers(1, 70)),
    st.lists(PARTS, min_size=6, max_size=6),
    st.sampled_from(sorted(CHANNELS)),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([4, 8, 16]),
)
@settings(max_examples=60, deadline=None)
def test_the_kernels_give_what_numpy_gives_at_any_size_and_shift(kernels, seed, shape, shifts, kind, dtype, stride):
    stack = random_stack(shape, dtype, seed)
    check(kernels, stack, InputSpec(kind, 1, True), np.array(shifts, np.float32).reshape(STACK - 1, 2), stride)


def test_a_frame_of_the_usual_size_whose_noise_is_read_from_a_sample(kernels):
    check(kernels, random_stack((512, 640), np.uint16, 4), InputSpec("difference+frame"), NO_SHIFT)


@pytest.mark.parametrize("number", [72, 87, 90, 110])
def test_the_kernels_compile_for_every_gpu_that_serves(number):
    architecture = f"sm_{number}"
    serving = [n for n in NVRTC.values() if architecture in n.architectures]
    if not serving:
        pytest.skip(f"no NVRTC for {architecture} here")
    for nvrtc in serving:
        compiled = compile_kernels(nvrtc, architecture)
        assert f".target {architecture}" in compiled.ptx
        assert all(f".entry {name}(" in compiled.ptx for name in ARGUMENTS)
        assert "fma.rn" not in compiled.ptx.split(".entry quartiles")[0]
        assert compiled.cubin[:4] == b"\x7fELF"
