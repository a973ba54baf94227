"""The three numbers that an input's drift is read from."""

import numpy as np
import pytest
from rendered import drifting_scene

from irdim import differencing
from irdim.differencing import CHANNELS, STACK, InputSpec, noise_scale, planes
from irdim.history import History, Stack
from irdim.input_statistics import EDGES, bin_of, input_statistics
from irdim.sources import Frame


def frames(dtype=np.uint16, count=8):
    scene = drifting_scene(count)
    return [Frame(i, i / 25, (p if dtype == np.uint16 else p // 64).astype(dtype)) for i, p in enumerate(scene)]


@pytest.mark.parametrize("register", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_they_are_those_of_the_first_difference_and_the_newest_frame(register, dtype):
    given, step = frames(dtype), 2
    history = History(InputSpec("sequence", step, register))
    stack = [history.push(f) for f in given][-1]
    assert isinstance(stack, Stack)
    assert stack.shifts.any() == register

    def first(kind):
        spec = InputSpec(kind, 1, register)
        return noise_scale(planes(stack.frames, spec, stack.shifts), spec)[0]

    assert input_statistics(given, InputSpec("difference+frame", step, register)) == {
        "sigma_difference": first("difference"),
        "sigma_frame": first("sequence"),
        "level": np.median(given[-1].pixels),
    }


@pytest.mark.parametrize("kind", CHANNELS)
def test_no_other_channel_is_computed(kind, monkeypatch):
    seen, sigma = [], differencing.noise_sigma
    monkeypatch.setattr(differencing, "noise_sigma", lambda *given, **more: seen.append(1) or sigma(*given, **more))
    assert len(input_statistics(frames(), InputSpec(kind))) == 3
    assert len(seen) == 2


def test_there_are_none_without_history_and_across_a_change_of_size():
    spec = InputSpec("difference", 2)
    assert not input_statistics(frames(count=2 * (STACK - 1)), spec)
    given = frames()
    given[3] = Frame(3, given[3].time, given[3].pixels[:50])
    assert not input_statistics(given, spec)


def test_what_lies_outside_counts_in_the_first_or_the_last_bin():
    for name, edges in EDGES.items():
        assert bin_of(name, edges[0] / 2 - 1) == 0
        assert bin_of(name, 2 * edges[-1]) == len(edges) - 2
