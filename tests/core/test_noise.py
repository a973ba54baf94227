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


def coded(share: float, height: int) -> np.ndarray:
    """A difference of compressed video, (256, 320) float32 counts: nothing but rare blocks of 4x4 px, a share of all, of up to a height in counts."""
    rng = np.random.default_rng(5)
    signs = rng.choice([-1, 0, 1], (64, 80), p=[share / 2, 1 - share, share / 2])
    return np.kron(signs * rng.integers(1, height + 1, signs.shape), np.ones((4, 4))).astype(np.float32)


def test_what_a_codec_leaves_is_noise():
    assert noise_sigma(coded(0.02, 6), roundings=2) > 1.2
    assert noise_sigma(coded(0.0, 6), roundings=2) == FLOOR
    tail = np.quantile(np.abs(coded(0.02, 6)), 0.999) / 3.29
    assert noise_sigma(coded(0.02, 6)) == pytest.approx(tail, abs=0.3)


def test_a_small_target_on_a_still_sky_is_no_noise():
    difference = np.zeros((256, 320), np.float32)
    difference[100:105, 100:105] = 40
    assert noise_sigma(difference, roundings=2) == FLOOR


def test_what_tails_bring_fades_out_as_noise_comes_in():
    normal = np.random.default_rng(6).normal(size=(256, 320))
    read = [noise_sigma(np.rint(coded(0.02, 6) + s * normal)) for s in np.linspace(0.0, 1.5, 61)]
    assert np.abs(np.diff(read)).max() < 0.2
    assert read[-1] == pytest.approx(1.5, rel=0.05)
