"""The parts of a generated scene: textures, sky, point spreads, sensor."""

import numpy as np
import pytest
import scipy.fft

from irdim_train.synth import SynthOptions, generate, psf
from irdim_train.synth.sky import Sky
from irdim_train.synth.textures import Texture, Window, behind_optics, clouds, fractal

QUIET = {"drift": 0, "jitter": 0, "wind": 0, "targets": 0, "knots": 0, "bad_pixels": 0, "clouds": 0, "fixed_pattern": 0}


def test_a_texture_moved_by_part_of_a_pixel_is_the_fourier_shifted_one():
    image = behind_optics(fractal((96, 128), 3.0, np.random.default_rng(0)))
    wave = scipy.fft.rfft2(image) * np.exp(-2j * np.pi * np.fft.fftfreq(96)[:, None] * -0.37)
    exact = scipy.fft.irfft2(wave * np.exp(-2j * np.pi * np.fft.rfftfreq(128) * 0.5), (96, 128))
    (moved,) = Texture(image[None], (96, 128)).window(0.37, -0.5, (96, 128))
    assert (moved - exact).std() < 0.01 * image.std()


def test_a_window_is_a_part_of_the_whole_and_the_texture_has_no_border():
    texture = Texture(behind_optics(fractal((64, 64), 3.0, np.random.default_rng(0)))[None], (64, 64))
    (whole,) = texture.window(-200.3, 77.7, (64, 64))
    (part,) = texture.window(-200.3 + 20, 77.7 + 30, (10, 12))
    (round_again,) = texture.window(-200.3 + 640, 77.7 - 128, (64, 64))
    assert np.allclose(part, whole[20:30, 30:42], atol=1e-5)
    assert np.allclose(round_again, whole, atol=1e-5)


def test_half_a_pixel_of_motion_blurs_nothing():
    sky = Sky(SynthOptions(clouds=40, wind=0), np.random.default_rng(0))
    window = Window(0, 0, 128, 160)
    sharp = [np.diff(sky.radiance(0, np.array([0.0, dx]), window), axis=1).std() for dx in (0.0, 0.5)]
    assert sharp[1] == pytest.approx(sharp[0], rel=0.02)


def test_a_window_of_the_sky_shows_what_the_whole_frame_shows():
    sky = Sky(SynthOptions(clouds=40, horizon=0.6, glint=20, layers=3), np.random.default_rng(0))
    shift = np.array([3.3, -7.7])
    whole = sky.radiance(5, shift, Window(0, 0, 128, 160))
    part = sky.radiance(5, shift, Window(60, 40, 32, 48))
    assert np.allclose(part, whole[60:92, 40:88], atol=0.02)


def test_hard_edges_are_narrower_than_soft_ones():
    between = {}
    for edges in ("soft", "hard"):
        textures = clouds(4, (128, 128), edges, (128, 128), np.random.default_rng(3))
        opacity = np.stack([t.window(0, 0, (128, 128), (1.0, 1.0))[0] for t in textures])
        between[edges] = np.mean((opacity > 0.1) & (opacity < 0.9))
        assert np.mean(opacity > 0.9) > 0.1
    assert between["hard"] < 0.8 * between["soft"]


def test_it_is_warmer_lower_down_and_below_the_horizon_and_where_the_sun_glows():
    sigma = SynthOptions().sigma
    clear = generate(SynthOptions(frames=1, **QUIET)).frames[0].mean(axis=1)
    assert clear[-8:].mean() > clear[:8].mean() + 5 * sigma
    ground = generate(SynthOptions(frames=1, horizon=0.5, **QUIET)).frames[0].astype(float)
    assert ground[90:].std() > 3 * ground[:30].std()
    sun = generate(SynthOptions(frames=60, glint=30, **QUIET))
    assert sun.frames[0].max() > clear.max() + 20 * sigma
    assert {s["kind"] for s in sun.truth["spots"]} == {"glint"}
    assert {b.label for boxes in sun.boxes.values() for b in boxes} == {"interference"}


@pytest.mark.parametrize("spread", ["gaussian", "airy"])
def test_a_point_spread_has_its_centre_where_it_was_put_and_a_peak_of_1_on_a_pixel(spread):
    def spot(y, x):
        centre = np.array([[y, x]])
        return (
            psf.gaussian(centre, (1.1, 1.1), 0, 0, (31, 31))
            if spread == "gaussian"
            else psf.airy(centre, 1.1, 0, 0, (31, 31))
        )

    assert spot(15.5, 15.5)[15, 15] == pytest.approx(1, abs=0.01)
    light = spot(15.2, 15.9)
    y, x = np.mgrid[:31, :31] + 0.5
    assert (y * light).sum() / light.sum() == pytest.approx(15.2, abs=0.03)
    assert (x * light).sum() / light.sum() == pytest.approx(15.9, abs=0.03)


def test_an_airy_disc_has_a_dark_ring_and_light_beyond_it():
    row = psf.airy(np.array([[15.5, 15.5]]), 2.0, 0, 0, (31, 31))[15]
    assert row[15 + 6] < 0.01  # the first dark ring, 2.9 sigma
    assert 0.01 < row[15 + 8] < 0.03  # the first bright ring has 1.7 % of the peak


def test_motion_smears_along_itself_alone():
    still, moving = (
        psf.gaussian(np.array([[15.5, 15.5]]) + psf.smear(np.array([0.0, d])), (1.0, 1.0), 0, 0, (31, 31))
        for d in (0, 4)
    )
    x = np.arange(31) - 15
    across, along = ((moving.sum(axis=a) * x**2).sum() / moving.sum() for a in (1, 0))
    before = (still.sum(axis=0) * x**2).sum() / still.sum()
    assert along == pytest.approx(before + 4**2 / 12, rel=0.03)
    assert across == pytest.approx(before, rel=0.01)
    assert moving.max() < still.max()


def test_dead_pixels_stand_still_and_flickering_ones_are_labelled_when_lit():
    made = generate(SynthOptions(bad_pixels=4e-4, knots=2))
    dead = [p for p in made.truth["bad_pixels"] if p["kind"] == "dead"]
    flickering = [p for p in made.truth["bad_pixels"] if p["kind"] == "flickering"]
    assert len(dead) == len(flickering) == 4
    assert all(made.frames[:, p["row"], p["column"]].std() == 0 for p in dead)
    for p in flickering:
        at = [any((b.x, b.y) == (p["column"] + 0.5, p["row"] + 0.5) for b in made.boxes[t]) for t in range(60)]
        assert 0 < sum(at) < 60
        counts = made.frames[:, p["row"], p["column"]].astype(float)
        lit, unlit = counts[np.array(at)], counts[~np.array(at)]
        assert abs(lit.mean() - unlit.mean()) > 3 * made.truth["noise_sigma"]
    bad = {(p["column"] + 0.5, p["row"] + 0.5) for p in made.truth["bad_pixels"]}
    assert {b.label for boxes in made.boxes.values() for b in boxes if (b.x, b.y) in bad} == {"interference"}
    assert sum(s["label"] == "interference" for s in made.truth["spots"]) >= 2


def test_the_fixed_pattern_has_the_requested_sigma_and_column_noise_is_new_on_every_frame():
    made = generate(SynthOptions(frames=60, column_noise=0.5, **{**QUIET, "fixed_pattern": 2.0}))
    mean = made.frames.mean(axis=0)
    pattern = mean - mean.mean(axis=1, keepdims=True)  # the gradient goes by rows
    assert pattern.std() == pytest.approx(2 * made.truth["noise_sigma"], rel=0.1)
    columns = (made.frames - mean).mean(axis=1).std()
    assert columns == pytest.approx(0.5 * made.truth["noise_sigma"], rel=0.1)


def test_while_the_shutter_is_closed_there_is_nothing_to_see_and_then_the_pattern_is_another():
    options = SynthOptions(
        frames=60, shutter=40, **{**QUIET, "targets": 2, "snr": 20, "fixed_pattern": 3.0, "clouds": 20}
    )
    made = generate(options)
    shut = made.truth["shutter"]
    assert 3 <= len(shut) < 30
    rows = made.frames.mean(axis=2, dtype=float)
    assert np.ptp(rows[shut], axis=1).max() < 0.4 * np.ptp(rows[0])
    assert not set(shut) & {t for s in made.truth["spots"] if s["kind"] == "target" for t in s["visible"]}
    closed = generate(SynthOptions(frames=60, shutter=40, **{**QUIET, "fixed_pattern": 3.0})).frames.astype(float)
    first, last = (closed[r] - closed[r].mean(axis=1, keepdims=True) for r in (0, 59))
    following = closed[1] - closed[1].mean(axis=1, keepdims=True)
    assert np.corrcoef(first.ravel(), following.ravel())[0, 1] > 0.8
    assert abs(np.corrcoef(first.ravel(), last.ravel())[0, 1]) < 0.1


def test_a_gain_step_scales_radiance_and_noise_alike():
    made = generate(SynthOptions(frames=60, gain_steps=60, **QUIET))
    gain = np.array(made.truth["gain"])
    step = int(np.flatnonzero(gain != 1)[0])
    assert 2 < step < 58
    noise = [np.diff(made.frames[t : t + 2].astype(float), axis=0).std() for t in (step - 2, step)]
    if gain[step] == gain[step + 1]:
        assert noise[1] / noise[0] == pytest.approx(gain[step], rel=0.05)
    assert abs(made.frames[step].mean() - made.frames[step - 1].mean(dtype=float)) > 5 * made.truth["noise_sigma"]


def test_the_dashes_of_a_stripe_are_labelled_where_they_are():
    made = generate(SynthOptions(frames=60, stripes=100, **QUIET))
    bare = generate(SynthOptions(frames=60, **QUIET)).frames.astype(float)
    change = np.abs(made.frames - bare)
    assert made.truth["stripes"]
    for t in range(60):
        covered = np.zeros(change.shape[1:], bool)
        for b in made.boxes.get(t, []):
            assert b.label == "interference"
            assert change[t, int(b.y), int(b.x)] > 3 * made.truth["noise_sigma"]
            covered[int(b.y), max(int(np.ceil(b.x - b.w / 2 - 0.5)), 0) : int(b.x + b.w / 2 + 0.5)] = True
        assert not change[t][~covered].any()
