import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irdim.differencing import InputSpec
from irdim.history import History, Stack, with_full_history
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


def test_without_a_nominal_interval_no_gap_is_looked_for():
    history = History(InputSpec("difference"))
    assert isinstance([history.push(frame(i, i * i * 10.0)) for i in range(4)][-1], Stack)


@given(
    st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.4, 3.0, -2.0]), min_size=1, max_size=40),
    st.integers(1, 4),
    st.sampled_from([None, 1.0]),
)
def test_which_frames_have_full_history_is_told_from_their_times(waits, step, interval):
    times, spec = np.cumsum(waits), InputSpec("difference", step)
    history = History(spec, interval)
    pushed = [isinstance(history.push(frame(i, time)), Stack) for i, time in enumerate(times)]
    assert with_full_history(times, spec, interval).tolist() == pushed
