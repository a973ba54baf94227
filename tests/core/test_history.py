import numpy as np
import pytest

from irdim.differencing import InputSpec
from irdim.history import History, Stack
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
        assert stack.frames[:, 0, 0].tolist() == [i, i - step, i - 2 * step, i - 3 * step]


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
