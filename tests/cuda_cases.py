"""What the CUDA kernels are held against NumPy on: on the host by tests/core/test_cuda_*.py, on a GPU by tests/gpu."""

import cv2
import numpy as np

from irdim.bundle import ModelCard, Thresholds
from irdim.cuda.input import GpuInputStep
from irdim.cuda.kernels import NetworkInput
from irdim.cuda.ring import FrameRing
from irdim.differencing import STACK, InputSpec, network_input, noise_scale, planes
from irdim.grid import pad_to_stride
from irdim.input_step import InputStep
from irdim.sources import Frame

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


def compressed(shape, dtype):
    """As a codec leaves it: the same in all frames, but for a few blocks."""
    stack, rng = constant(shape, dtype), np.random.default_rng(7)
    for frame in stack:
        for y, x in rng.integers(0, shape, (6, 2)):
            frame[y : y + 4, x : x + 4] += rng.integers(1, 5).astype(dtype)
    return stack


SCENES = {
    "random": random_stack,
    "constant": constant,
    "saturated": saturated,
    "dead pixels": with_dead_pixels,
    "compressed": compressed,
}


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


def moving_frames(count, shape=(203, 261), dtype=np.uint16, seed=0):
    """(count, H, W): clouds that drift, under noise, with three spots that move otherwise."""
    rng, (height, width) = np.random.default_rng(seed), shape
    clouds = cv2.GaussianBlur(rng.normal(size=(height + 64, width + 64)).astype(np.float32), (0, 0), 5)
    clouds *= 0.1 * np.iinfo(dtype).max / clouds.max()
    y, x = np.mgrid[:height, :width].astype(np.float32)
    frames = []
    for t in range(count):
        move = np.array([[1, 0, -(0.7 * t % 40)], [0, 1, -(0.4 * t % 40)]], np.float32)
        image = 0.3 * np.iinfo(dtype).max + cv2.warpAffine(clouds, move, (width, height))
        image += rng.normal(0, 2, shape)
        for top, left in ((40, 30), (90, 200), (150, 100)):
            image += 30 * np.exp(-((x - left - 1.6 * t) ** 2 + (y - top + 1.1 * t) ** 2) / 2.5)
        frames.append(np.rint(image.clip(0, np.iinfo(dtype).max)).astype(dtype))
    return np.stack(frames)


def follow_both(engine, kind, register):
    """Push the same frames, with a gap, a reset, another size and another depth, through the input steps of GPU and host, and compare what comes out.
    Returns how many frames had an input."""
    card = ModelCard("any", 1.0, 8, InputSpec(kind, 2, register), Thresholds(0.5, 0.1), 0.04)
    steps = GpuInputStep(card, engine), InputStep(card)
    compared, time = 0, 0.0
    for shape, dtype in (((67, 93), np.uint16), ((80, 96), np.uint16), ((80, 96), np.uint8)):
        for i, pixels in enumerate(moving_frames(25, shape, dtype)):
            time += 0.2 if i == 9 else 0.04
            if i == 17:
                for step in steps:
                    step.reset("shutter")
            frame = Frame(i, time, pixels)
            if i == 4:
                for step in steps:
                    step.prime([frame])
                continue
            given, expected = (step.push(frame) for step in steps)
            if isinstance(expected, str):
                assert given == expected
                continue
            compared += 1
            assert (given.shape, given.shift) == (expected.shape, expected.shift)
            # sigma is estimated by each: a little apart where a value lies at the edge of a bin
            assert np.abs(given.image.to_host() - expected.image).max() < 1e-4
    return compared
