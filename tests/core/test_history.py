from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendered import drifting_scene

from irdim.bundle import ModelCard, Thresholds
from irdim.differencing import InputSpec
from irdim.history import History, Stack, with_full_history
from irdim.input_step import InputStep
from irdim.registration import estimate_shift, texture
from irdim.sources import Frame


def frame(i, time=None, shape=(40, 48), dtype=np.uint16):
    return Frame(i, float(i) if time is None else time, np.full(shape, i, dtype))


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_stack_is_newest_first_and_its_frames_lie_a_step_apart(step):
    history = History(InputSpec("difference", step))
    given = [history.push(frame(i)) for i in range(3 * step + 3)]
    assert all(g == "history" for g in given[: 3 * step])
    for i, stack in enumerate(given[3 * step :], start=3 * step):
        assert isinstance(stack, Stack)
        assert [f[0, 0] for f in stack.frames] == [i, i - step, i - 2 * step, i - 3 * step]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (frame(4, 9.0), "gap"),
        (frame(4, 2.0), "gap"),  # time stamps backwards
        (frame(4, shape=(41, 48)), "size"),
        (frame(4, dtype=np.uint8), "size"),
    ],
)
def test_a_break_voids_the_stack_until_the_ring_is_full_again(broken, reason):
    history = History(InputSpec("difference"), interval=1.0)
    assert isinstance([history.push(frame(i)) for i in range(4)][-1], Stack)
    assert history.push(broken) == reason
    later = [history.push(Frame(5 + k, broken.time + 1 + k, broken.pixels)) for k in range(3)]
    assert later[:2] == [reason, reason]
    assert isinstance(later[2], Stack)


def test_without_a_nominal_interval_no_wait_is_too_long():
    history = History(InputSpec("difference"))
    assert isinstance([history.push(frame(i, i * i * 10.0)) for i in range(4)][-1], Stack)


@pytest.mark.parametrize("time", [3.0, 1.0])
def test_a_clock_that_stands_still_or_goes_back_is_a_gap_even_without_one(time):
    history = History(InputSpec("difference"))
    assert isinstance([history.push(frame(i)) for i in range(4)][-1], Stack)
    assert history.push(frame(4, time)) == "gap"


def test_an_interval_that_is_told_later_counts_from_then_on_unless_the_card_states_one():
    card = ModelCard("any", 1.0, 8, InputSpec("difference"), Thresholds(0.5, 0.1))
    for stated, expected in ((None, "gap"), (5.0, "ok")):
        step = InputStep(replace(card, interval=stated))
        for i in range(4):
            step.push(frame(i))
        step.expect(1.0)
        pushed = step.push(frame(4, 5.0))
        assert (pushed if isinstance(pushed, str) else "ok") == expected


@given(
    st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.4, 3.0, 0.0, -2.0]), min_size=1, max_size=40),
    st.integers(1, 4),
    st.sampled_from([None, 1.0]),
)
def test_which_frames_have_full_history_is_told_from_their_times(waits, step, interval):
    times, spec = np.cumsum(waits), InputSpec("difference", step)
    history = History(spec, interval)
    pushed = [isinstance(history.push(frame(i, time)), Stack) for i, time in enumerate(times)]
    assert with_full_history(times, spec, interval).tolist() == pushed


def frames_of(pixels):
    return [Frame(t, float(t), p) for t, p in enumerate(pixels)]


@pytest.fixture(scope="module")
def drifting():
    return frames_of(drifting_scene(9))


def test_shifts_are_the_sums_of_the_motions_between_neighbours_of_the_stack(drifting):
    history = History(InputSpec("difference", 2, True))
    stacks = [history.push(frame) for frame in drifting]
    for t in (6, 7, 8):
        seen = [texture(drifting[t - 2 * k].pixels) for k in range(4)]
        summed = np.cumsum([estimate_shift(seen[k + 1], seen[k]) for k in range(3)], axis=0)
        np.testing.assert_allclose(stacks[t].shifts, summed, atol=1e-6)
        np.testing.assert_allclose(summed, [[0.8 * k, -1.8 * k] for k in (1, 2, 3)], atol=0.15)


def test_a_stack_does_not_depend_on_which_others_were_wanted(drifting):
    each, last = (History(InputSpec("difference", 2, True)) for _ in range(2))
    stacks = [each.push(frame) for frame in drifting]
    for frame in drifting[:-1]:
        assert isinstance(last.add(frame), str)
    np.testing.assert_array_equal(last.push(drifting[-1]).shifts, stacks[-1].shifts)


def test_in_a_sequence_one_motion_a_frame_is_measured(drifting, monkeypatch):
    measured = []
    monkeypatch.setattr("irdim.history.estimate_shift", lambda older, newer: measured.append(1) or (1.0, 0.0))
    history = History(InputSpec("difference", 2, True))
    for frame in drifting:
        history.push(frame)
    assert len(measured) == 2 * 3 + 1  # all of the first even and the first odd stack, then one each


@pytest.mark.parametrize("bad", ["blank", "blurred"])
def test_after_a_frame_that_cannot_be_registered_the_others_still_are(bad):
    pixels = drifting_scene(12, (0.8, -1.2))
    pixels[8] = 8000 if bad == "blank" else cv2.GaussianBlur(pixels[8].astype(np.float32), (0, 0), 12)
    history = History(InputSpec("difference", 1, True))
    stacks = [history.push(frame) for frame in frames_of(pixels)]
    for t in (9, 10, 11):
        ages = [k for k in (1, 2, 3) if t - k != 8]
        truth = [[0.8 * k, -1.2 * k] for k in ages]
        np.testing.assert_allclose(stacks[t].shifts[[k - 1 for k in ages]], truth, atol=0.25)


def test_a_drift_that_is_lost_in_noise_between_neighbours_is_found_over_the_whole_stack():
    spec, pixels = InputSpec("difference", 1, True), drifting_scene(24, (0.1, 0.2), texture=120.0)
    seen = [texture(p) for p in pixels]
    lost = [t for t in range(3, 24) if estimate_shift(seen[t - 1], seen[t]) == (0.0, 0.0)]
    assert len(lost) > 5
    history = History(spec)
    stacks = [history.push(frame) for frame in frames_of(pixels)]
    for t in lost:
        direct = estimate_shift(seen[t - 3], seen[t])
        assert any(direct)
        np.testing.assert_allclose(stacks[t].shifts[2], direct, atol=1e-6)
