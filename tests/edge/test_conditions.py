"""What a sensor does to its own pictures is recognised, and nothing else is taken for it."""

import numpy as np
import pytest
from streams import counts, scene

from irdim_edge.cameras.conditions import BLACK, GAIN, SATURATED, SHUTTER, Conditions


def looked_at(frames: np.ndarray) -> list[str]:
    conditions = Conditions()
    return [conditions.look(frame) for frame in counts(frames)]


def test_a_scene_that_moves_is_no_event():
    assert looked_at(scene(40)) == [""] * 40
    wide = np.concatenate([scene(1)[0]] * 3, axis=1)
    rng = np.random.default_rng(1)
    panned = np.stack([wide[:, 3 * t : 3 * t + 120] + rng.normal(0, 12, (96, 120)) for t in range(60)])
    assert looked_at(panned) == [""] * 60


def test_an_empty_sky_under_noise_is_no_event():
    assert looked_at(1000 + np.random.default_rng(2).normal(0, 12, (60, 96, 120))) == [""] * 60


def test_a_slow_gain_and_an_offset_are_no_events():
    frames = scene(60)
    level = frames.mean()
    slow = level + (frames - level) * np.linspace(1, 1.5, 60)[:, None, None]
    assert looked_at(slow) == [""] * 60
    frames[30:] += 500
    assert looked_at(frames) == [""] * 60


@pytest.mark.parametrize("gain", [1.2, 0.8, 2.0])
def test_a_step_of_the_gain_is_one_event(gain):
    frames = scene(40)
    frames[20:] = 2500 + (frames[20:] - 2500) * gain
    assert looked_at(frames) == [""] * 20 + [GAIN] + [""] * 19


@pytest.mark.parametrize("partly", [False, True])
def test_a_shutter_is_an_event_until_it_is_open_again(partly):
    frames = scene(60)
    rng = np.random.default_rng(3)
    frames[20:35] = 2700 + rng.normal(0, 12, (15, 96, 120))
    if partly:  # one frame on which it is half closed
        frames[20, :48] = scene(60)[20, :48]
    found = looked_at(frames)
    closed = found.index(SHUTTER)
    assert closed in (20, 21)
    assert found == [""] * closed + [SHUTTER] * (36 - closed) + [""] * 24


def test_a_shutter_that_stays_closed_becomes_the_scene():
    frames = scene(400)
    frames[20:] = 2700 + np.random.default_rng(4).normal(0, 12, (380, 96, 120))
    found = looked_at(frames)
    assert found[20] == SHUTTER
    assert found[300:] == [""] * 100


def test_black_and_saturated_pictures_are_named():
    conditions = Conditions()
    for frame, picture in [
        (np.zeros((96, 120), np.uint16), BLACK),
        (np.full((96, 120), 16383, np.uint16), SATURATED),
        (np.full((96, 120), 255, np.uint8), SATURATED),
        (counts(scene(1))[0], ""),
        (np.full((96, 120), 3000, np.uint16), ""),
    ]:
        conditions.look(frame)
        assert conditions.picture == picture
