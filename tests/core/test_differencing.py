import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim.differencing import (
    CHANNELS,
    HIGH_PASS_RADIUS,
    InputSpec,
    compress,
    high_pass,
    network_input,
    noise_scale,
    planes,
)
from irdim.errors import InputError

NO_SHIFT = np.zeros((3, 2), np.float32)


def noisy_stack(seed=0, dtype=np.uint16, shape=(48, 64)):
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(rng.normal(120, 9, (4, *shape))), 0, np.iinfo(dtype).max).astype(dtype)


def test_differences_are_newest_minus_older_as_in_eq_1():
    stack = noisy_stack()
    counts = planes(stack, InputSpec("difference"), NO_SHIFT)
    for k in range(3):
        assert np.array_equal(counts[k], stack[0].astype(np.float32) - stack[k + 1])


def test_a_difference_of_8_bit_frames_does_not_wrap_around():
    stack = np.zeros((4, 32, 32), np.uint8)
    stack[1] = 255
    assert planes(stack, InputSpec("difference"), NO_SHIFT)[0].max() == -255


@pytest.mark.parametrize("kind", CHANNELS)
def test_every_input_has_its_channels(kind):
    spec = InputSpec(kind)
    assert network_input(noisy_stack(), spec, NO_SHIFT).shape == (spec.channels, 48, 64)


def test_high_pass_is_the_slow_obvious_one():
    image = np.random.default_rng(1).uniform(0, 60000, (37, 45)).astype(np.float32)
    slow = slow_high_pass(image.astype(np.float64))
    assert np.abs(high_pass(image) - slow).max() < 0.01  # one unit in the last place of 60000 is 0.004


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("register", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_input_is_the_slow_obvious_one(kind, register, dtype):
    stack, spec = noisy_stack(3, dtype, (37, 45)), InputSpec(kind, 1, register)
    shifts = np.array([[0.25, -0.5], [2.75, -7.1], [0, 3]])
    sigma = np.linspace(2, 9, spec.channels)
    aligned = [
        slow_move(f, by, stack[0]) for f, by in zip(stack, [(0, 0), *(shifts if register else NO_SHIFT)], strict=True)
    ]
    channels = [aligned[0] - older for older in aligned[1:]] if kind.startswith("difference") else aligned
    channels = channels + aligned[:1] if kind == "difference+frame" else channels[: spec.channels]
    slow = [4 * np.arcsinh(slow_high_pass(c) / s / 4) for c, s in zip(channels, sigma, strict=True)]
    assert np.abs(network_input(stack, spec, shifts.astype(np.float32), sigma) - slow).max() < 1e-5


def slow_move(frame, shift, newest):
    """Pixel by pixel in float64; what comes from outside is the newest frame's before the rest of the shift is interpolated."""
    (height, width), whole = frame.shape, np.rint(shift)
    (dy, dx), (part_y, part_x) = whole.astype(int), np.asarray(shift) - whole

    def at(y, x):
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        inside = 0 <= y - dy < height and 0 <= x - dx < width
        return float(frame[y - dy, x - dx] if inside else newest[y, x])

    ny, nx = -int(np.sign(part_y)), -int(np.sign(part_x))
    wy, wx = abs(part_y), abs(part_x)
    return np.array(
        [
            [
                (1 - wx) * ((1 - wy) * at(y, x) + wy * at(y + ny, x))
                + wx * ((1 - wy) * at(y, x + nx) + wy * at(y + ny, x + nx))
                for x in range(width)
            ]
            for y in range(height)
        ]
    )


def slow_high_pass(image):
    r, passed = HIGH_PASS_RADIUS, np.empty(image.shape)
    for y, x in np.ndindex(image.shape):
        passed[y, x] = image[y, x] - image[max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1].mean()
    return passed


def test_a_one_sigma_target_spans_several_int8_steps_and_a_bright_one_keeps_growing():
    step = 16 / 127.5
    one, fifty, sixty = compress(np.array([[1, 50, 60]], np.float32))[0]
    assert one / step > 5
    assert sixty > fifty + step


def test_compression_is_4_asinh_of_a_quarter():
    x = np.concatenate([np.linspace(-20, 20, 999), np.geomspace(1e-6, 1e5, 500), -np.geomspace(1e-6, 1e5, 500), [0.0]])
    given, expected = compress(x[None].astype(np.float32))[0], 4 * np.arcsinh(x / 4)
    assert np.abs(given - expected).max() < 2e-6 * np.abs(expected).max()
    assert given[-1] == 0


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 16]))
@settings(max_examples=20, deadline=None)
def test_the_input_does_not_depend_on_the_cameras_gain(seed, gain):
    rng = np.random.default_rng(seed)
    stack = np.rint(rng.normal(500, 8, (4, 48, 64)))
    spec = InputSpec("difference+frame")
    plain = network_input(stack.astype(np.uint16), spec, NO_SHIFT)
    louder = network_input((gain * stack).astype(np.uint16), spec, NO_SHIFT)
    assert np.abs(plain - louder).max() < 0.35  # sigmas are read from rounded counts


def test_sigma_from_the_whole_frame_scales_a_patch_as_the_frame():
    stack, spec = noisy_stack(shape=(128, 128)), InputSpec("difference")
    sigma = noise_scale(planes(stack, spec, NO_SHIFT), spec)
    whole = network_input(stack, spec, NO_SHIFT, sigma)
    patch = network_input(stack[:, 20:100, 20:100], spec, NO_SHIFT, sigma)
    r = HIGH_PASS_RADIUS
    assert np.abs(whole[:, 20:100, 20:100] - patch)[:, r:-r, r:-r].max() < 1e-4


@pytest.mark.parametrize("stack", [np.zeros((4, 32, 32), np.uint16), np.full((4, 32, 32), 65535, np.uint16)])
def test_constant_and_saturated_stacks_give_zeros(stack):
    assert not np.any(network_input(stack, InputSpec("difference+frame", 1, True), NO_SHIFT))


def test_an_unknown_input_is_named():
    with pytest.raises(InputError, match="input 'delta' is not known"):
        InputSpec("delta")
