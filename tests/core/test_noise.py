import numpy as np
import pytest

from irdim.noise import FLOOR, noise_sigma


@pytest.mark.parametrize("sigma", [0.5, 0.6, 0.8, 1.0, 1.5, 2.15, 5.0, 20.0, 50.0])
@pytest.mark.parametrize(("dtype", "level"), [(np.uint8, 128), (np.uint16, 9000)])
def test_sigma_of_a_difference_of_integer_frames_is_within_5_percent(sigma, dtype, level):
    rng = np.random.default_rng(1)
    top = np.iinfo(dtype).max
    scene = level + np.linspace(-3, 3, 270)  # a real scene lies at every phase of a count
    frames = [np.clip(np.rint(rng.normal(scene, sigma, (206, 270))), 0, top).astype(dtype) for _ in range(2)]
    difference = frames[0].astype(np.float32) - frames[1].astype(np.float32)
    assert noise_sigma(difference, roundings=2) == pytest.approx(sigma * np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("sigma", [0.5, 0.8, 2.15, 50.0])
def test_sigma_of_rounded_normal_values_is_within_3_percent(sigma):
    values = np.rint(np.random.default_rng(2).normal(100.3, sigma, (200, 200)))
    assert noise_sigma(values) == pytest.approx(sigma, rel=0.03)


def test_sigma_is_continuous_in_the_true_sigma():
    normal = np.random.default_rng(3).normal(size=(300, 300))
    read = [noise_sigma(np.rint(100 + s * normal)) for s in np.linspace(0.6, 3, 49)]
    steps = np.diff(read)
    assert steps.min() > 0
    assert steps.max() < 0.1  # the true step is 0.05


def test_offset_targets_and_dead_pixels_do_not_move_it():
    rng = np.random.default_rng(4)
    difference = np.rint(rng.normal(0, 3, (100, 100)))
    plain = noise_sigma(difference)
    spoiled = difference + 500  # an auto-gain step
    spoiled[:10] = 40000  # dead rows
    spoiled[50:59, 50:59] += 300  # a target
    assert noise_sigma(spoiled) == pytest.approx(plain, rel=0.2)


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.full((8, 8), 65535), np.zeros((0,)), np.array([5.0])])
def test_constant_and_empty_images_give_the_floor(image):
    assert noise_sigma(image) == FLOOR
