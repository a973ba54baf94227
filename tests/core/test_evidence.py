import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from irdim import evidence as e
from irdim.boxes import Detection
from irdim.evidence import Evidence


def det(x, y, score=0.3):
    return Detection(x, y, 5, 5, score)


def scores(frames, shifts=None):
    memory = Evidence()
    return [
        [d.score for d in memory.update(f, s)] for f, s in zip(frames, shifts or [(0, 0)] * len(frames), strict=True)
    ]


def test_a_faint_detection_that_stays_on_its_way_grows_and_one_that_is_there_once_does_not():
    moving = scores([[det(10 + t, 20)] for t in range(6)])
    jumping = scores([[det(10 + 40 * t, 20)] for t in range(6)])
    assert moving[0] == jumping[0] == pytest.approx([0.3])
    assert [s[0] for s in moving] == sorted(s[0] for s in moving)
    assert moving[-1][0] > 0.6
    assert jumping[-1] == pytest.approx([0.3])


def test_camera_motion_is_taken_out():
    still_in_the_world = [[det(10 + 9 * t, 20)] for t in range(5)]
    assert scores(still_in_the_world)[-1][0] == pytest.approx(0.3)
    assert scores(still_in_the_world, [(0.0, 9.0)] * 5)[-1][0] > 0.6


def test_the_past_is_forgotten_after_a_gap_and_never_makes_a_detection():
    memory = Evidence()
    for t in range(5):
        memory.update([det(10 + t, 20)], (0, 0))
    for _ in range(e.MEMORY + 1):
        assert memory.update([], (0, 0)) == []
    assert memory.update([det(15, 20)], (0, 0))[0].score == pytest.approx(0.3)


@given(st.lists(st.lists(st.tuples(st.floats(0, 12), st.floats(0, 12), st.floats(0.02, 0.98)), max_size=4), max_size=6))
@settings(max_examples=60, deadline=None)
def test_it_is_the_slow_obvious_recursion(frames):
    memory, chains = Evidence(), []
    for frame in frames:
        chains = [(age + 1, x, y, kept) for age, x, y, kept in chains if age < e.MEMORY]
        expected, new = [], []
        for x, y, s in frame:
            best = 0.0
            for age, cx, cy, kept in chains:
                far = np.hypot(x - cx, y - cy) / (e.REACH + e.SPEED * age)
                if far <= 1:
                    best = max(best, kept * e.DECAY ** (age - 1) - 0.5 * far**2)
            expected.append(expit(logit(s) + e.WEIGHT * best))
            new.append((0, x, y, min(max(logit(s) + e.BASE + e.DECAY * best, 0), e.MOST)))
        chains += new
        found = memory.update([det(x, y, s) for x, y, s in frame], (0, 0))
        assert [d.score for d in found] == pytest.approx(sorted(expected, reverse=True))
