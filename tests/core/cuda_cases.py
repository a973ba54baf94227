"""What the CUDA kernels are held against NumPy on: by test_cuda_kernels on the host, by tests/gpu on a GPU."""

import numpy as np

from irdim.cuda.kernels import NetworkInput
from irdim.cuda.ring import FrameRing
from irdim.differencing import STACK, network_input, noise_scale, planes
from irdim.grid import pad_to_stride

SHIFTS = np.array([[0.3, -0.45], [-2.5, 7.25], [40.0, -1e-3]], np.float32)


def random_stack(shape, dtype, seed=0):
    rng, top = np.random.default_rng(seed), np.iinfo(dtype).max
    clouds = rng.uniform(0.2, 0.6) * top + rng.uniform(0, 0.1) * top * np.sin(np.linspace(0, 9, shape[1]))
    noise = rng.normal(0, rng.uniform(0.3, 0.01 * top), (STACK, *shape))
    return np.clip(np.rint(clouds + noise), 0, top).astype(dtype)


def constant(shape, dtype):
    return np.full((STACK, *shape), 200, dtype)


def saturated(shape, dtype):
    stack = random_stack(shape, dtype)
    stack[:, : shape[0] // 2] = np.iinfo(dtype).max
    return stack


def with_dead_pixels(shape, dtype):
    stack = random_stack(shape, dtype)
    stack[:, ::7, ::5] = 0
    stack[1::2, 3] = np.iinfo(dtype).max  # a row that blinks from end to end
    return stack


SCENES = {"random": random_stack, "constant": constant, "saturated": saturated, "dead pixels": with_dead_pixels}


def check(kernels, stack, spec, shifts, stride=8):
    """With sigma given: the input within 1e-5 of NumPy's, padding included. With sigma estimated: sigma within 1e-5 of it."""
    gpu = kernels.gpu
    with gpu.current():
        stream = gpu.cuda.Stream()
        shape = stack.shape[1:]
        ring = FrameRing(gpu, stream, spec.history, shape, stack.dtype)
        step = NetworkInput(kernels, stream, spec, stride, shape)
        for age in range(spec.history - 1, -1, -1):  # what lies between the frames of the stack is something else
            ring.push(stack[age // spec.frame_step] if age % spec.frame_step == 0 else np.full_like(stack[0], 77))
        sigma = noise_scale(planes(stack, spec, shifts), spec)
        given = step.run(ring, shifts, sigma).to_host()
        step.run(ring, shifts)
        estimated = step.sigma()
    expected = pad_to_stride(network_input(stack, spec, shifts, sigma), stride)
    assert given.shape == expected.shape
    worst = float(np.abs(given - expected).max())
    assert worst <= 1e-5, f"off by {worst:.2g}"
    assert np.abs(estimated / sigma - 1).max() <= 1e-5, (estimated, sigma)
    return worst
