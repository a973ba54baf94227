import cv2
import numpy as np
import pytest
from scipy.ndimage import fourier_shift, gaussian_filter

from irdim.differencing import InputSpec, align, planes
from irdim.registration import estimate_shift, texture


def moved_scene(shift, seed=0, noise=20.0, shape=(160, 200)):
    """Two noisy 14-bit views of one random scene, the second moved by `shift` (dy, dx)."""
    rng = np.random.default_rng(seed)
    around = (shape[0] + 60, shape[1] + 60)
    scene = 600 * gaussian_filter(rng.normal(size=around), 2.2) + 4000 * gaussian_filter(rng.normal(size=around), 8)
    moved = np.fft.ifft2(fourier_shift(np.fft.fft2(scene), shift)).real
    return [
        np.clip(np.rint(image[30:-30, 30:-30] + 4000 + rng.normal(0, noise, shape)), 0, 16383).astype(np.uint16)
        for image in (scene, moved)
    ]


@pytest.mark.parametrize("shift", [(0, 0), (0.3, -0.4), (2.5, 1.1), (-4.2, 3.7), (9.9, -12.3)])
def test_shift_is_found_within_a_twentieth_of_a_pixel(shift):
    older, newer = moved_scene(shift)
    assert estimate_shift(texture(older), texture(newer)) == pytest.approx(shift, abs=0.06)


@pytest.mark.parametrize("shift", [(0, 0), (0.3, -0.4), (-4.2, 3.7), (17.6, -31.3)])
@pytest.mark.parametrize("shape", [(512, 640), (487, 1023)])
def test_a_large_frame_is_registered_as_well_as_a_small_one(shift, shape):
    older, newer = moved_scene(shift, shape=shape)
    assert texture(older).binned == 2
    assert estimate_shift(texture(older), texture(newer)) == pytest.approx(shift, abs=0.06)


@pytest.mark.parametrize("kind", ["noise", "constant", "saturated", "one hot pixel"])
def test_a_scene_without_texture_gives_no_motion(kind):
    rng = np.random.default_rng(5)
    frames = {
        "noise": [np.rint(rng.normal(1000, 30, (160, 200))) for _ in range(2)],
        "constant": [np.full((160, 200), 7.0)] * 2,
        "saturated": [np.full((160, 200), 65535.0)] * 2,
        "one hot pixel": [np.pad([[60000.0]], ((40, 119), (k, 199 - k))) for k in (20, 60)],
    }[kind]
    assert estimate_shift(*(texture(f) for f in frames)) == (0.0, 0.0)


@pytest.mark.parametrize("targets", [1, 2, 3])
@pytest.mark.parametrize(("sky", "noise"), [(1000, 8), (0, 0)], ids=["noisy", "clipped to black"])
def test_targets_before_an_empty_sky_are_not_the_scene(targets, sky, noise):
    rng = np.random.default_rng(targets)
    y, x = np.mgrid[:120, :140] + 0.5
    for _ in range(10):
        places = rng.uniform((30, 30), (90, 110), (targets, 2))
        frames = []
        for t in range(2):
            spots = [150 * np.exp(-((x - px - 2 * t) ** 2 + (y - py - t) ** 2) / (2 * 1.5**2)) for py, px in places]
            frames.append(np.rint(sky + sum(spots) + rng.normal(0, noise, x.shape)))
        assert estimate_shift(*(texture(f) for f in frames)) == (0.0, 0.0)


def test_a_target_that_comes_and_goes_before_an_empty_sky_moves_no_camera():
    """Over many pairs: noise alone now and then looks like a motion that explains a quarter of what a target gains."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120] + 0.5
    frames = []
    for t in range(60):
        spot = 90 * np.exp(-((x - 20 - 1.2 * t) ** 2 + (y - 45 - 10 * np.sin(np.pi * t / 60)) ** 2) / (2 * 1.2**2))
        frames.append(texture(np.rint(1000 + spot + rng.normal(0, 8, x.shape))))
    for k in (1, 4, 8):
        assert {estimate_shift(*pair) for pair in zip(frames, frames[k:], strict=False)} == {(0.0, 0.0)}


@pytest.mark.parametrize("black", [0.3, 0.5, 0.55, 0.7, 0.85])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_ground_below_a_sky_that_is_clipped_moves_the_camera(black, kind):
    frames = moved_scene((0.4, -3.3), shape=(240, 320))
    sky = round(240 * black)
    for frame in frames:
        frame[:sky] = 0
    if kind == np.uint8:
        frames = [np.clip(frame / 32.0, 0, 255).astype(kind) for frame in frames]
    assert estimate_shift(*map(texture, frames))[1] == pytest.approx(-3.3, abs=0.1)


def test_a_textured_corner_is_enough_for_the_scene():
    shift = (1.6, -2.3)
    older, newer = moved_scene(shift, noise=5.0)
    sky = np.random.default_rng(1).normal(4000, 5, (2, 160, 200))
    for frame, empty in zip((older, newer), sky, strict=True):
        frame[:100] = np.rint(empty[:100])
    assert estimate_shift(texture(older), texture(newer)) == pytest.approx(
        shift, abs=0.25
    )  # the edge between them stands still


def test_frames_too_small_to_register_give_no_motion():
    older, newer = (f[:20, :20] for f in moved_scene((2, 2)))
    assert estimate_shift(texture(older), texture(newer)) == (0.0, 0.0)


def test_alignment_takes_the_camera_motion_out_of_the_differences():
    older, newer = moved_scene((3.3, -2.6), noise=5.0)
    shifts = np.array([estimate_shift(texture(older), texture(newer))] * 3, np.float32)
    stack = np.stack([newer, older, older, older])
    inside = (slice(None), slice(12, -12), slice(12, -12))
    before = planes(stack, InputSpec("difference", 1, False), shifts)[inside].std()
    after = planes(stack, InputSpec("difference", 1, True), shifts)[inside].std()
    assert after < before / 5


def test_what_comes_from_outside_the_frame_gives_no_difference():
    older, newer = moved_scene((0, 0))
    aligned = align(np.stack([newer, older, older, older]), np.array([[6, 0], [0, -7], [0, 0]], np.float32))
    assert np.array_equal(aligned[1, :6], newer[:6])
    assert np.array_equal(aligned[2, :, -7:], newer[:, -7:])
    assert np.array_equal(aligned[1, 6:], older[:-6])


def test_a_frame_of_several_megapixels_is_registered():
    """Binned by eight, which smooths more than is asked for."""
    rng = np.random.default_rng(3)
    scene = cv2.GaussianBlur(rng.normal(0, 1, (1560, 2080)).astype(np.float32), (0, 0), 20) * 20000
    older, newer = (
        scene[10 + y : 1546 + y, 10 + x : 2058 + x] + rng.normal(0, 9, (1536, 2048)) for y, x in ((0, 0), (5, -7))
    )
    found = estimate_shift(texture(older), texture(newer))
    assert texture(newer).binned == 8
    assert np.abs(np.array(found) - (-5, 7)).max() < 0.3


def bands(slope, seed, shape=(200, 250)):
    """A scene (H, W) of bands that rise by `slope` px a px, and its motion by (dy, dx) px."""
    rng = np.random.default_rng(seed)
    profile = 600 * gaussian_filter(rng.normal(size=1000), 3)
    y, x = np.mgrid[: shape[0], : shape[1]]

    def moved(dy, dx):
        return 4000 + np.interp((y - dy) + slope * (x - dx) + 300, np.arange(1000), profile)

    return moved, rng


@pytest.mark.parametrize(("slope", "noise"), [(0.0, 8), (0.0, 30), (0.5, 30)])
def test_along_bands_there_is_no_motion_and_across_them_all_of_it(slope, noise):
    across = np.array([1.0, slope]) / np.hypot(1, slope)
    for seed in range(4):
        moved, rng = bands(slope, seed)
        frames = [texture(np.rint(moved(*d) + rng.normal(0, noise, (200, 250)))) for d in ((0, 0), (2.2, 4.6))]
        found = np.array(estimate_shift(*frames))
        np.testing.assert_allclose(found, across * (across @ (2.2, 4.6)), atol=0.06)


def test_a_straight_horizon_that_nods_does_not_pan():
    y, found = np.arange(200.0), []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        frames = [
            texture(np.rint((1000 + 1000 * np.tanh((y - 140 - dy) / 2))[:, None] + rng.normal(0, 8, (200, 250))))
            for dy in (0.0, -2.2)
        ]
        found.append(estimate_shift(*frames))
    dy, dx = np.array([one for one in found if any(one)]).T  # one edge alone is not always enough
    assert len(dy) >= 4
    np.testing.assert_allclose(dx, 0, atol=0.06)
    np.testing.assert_allclose(dy, -2.2, atol=0.3)  # a single edge, cut at 6 sigmas of texture
