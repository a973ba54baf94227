import random

import pytest

from irdim.tracks import Verdict
from irdim_edge.policy import DAY, Allowance, Budget, Merger


def verdict(kind: str = "missed", x: float = 50.0, y: float = 50.0, track: int = 1) -> Verdict:
    return Verdict(kind, 0, x, y, 3.0, 3.0, 0.5, track, "why")


def budget(events: int, size: float = 1e9) -> tuple[Budget, list[float]]:
    now = [1000.0]
    return Budget({"missed": Allowance(events, size), "false_alarm": Allowance(0, size)}, clock=lambda: now[0]), now


def test_a_quarter_may_be_spent_at_once_and_the_rest_comes_back_through_the_day():
    b, now = budget(100)
    assert [b.take("missed") for _ in range(30)].count(True) == 25
    now[0] += DAY / 10
    assert [b.take("missed") for _ in range(30)].count(True) == 7
    assert not b.take("false_alarm")


@pytest.mark.parametrize(("events", "most"), [(1, 1), (2, 2), (3, 3), (100, 100)])
def test_no_24_hours_get_more_than_the_day_s_events(events, most):
    b, now = budget(events)
    draw, taken = random.Random(1), []
    for _ in range(3000):
        now[0] += draw.expovariate(1 / 120)
        if b.take("missed"):
            taken.append(now[0])
    assert max(sum(0 <= t - s < DAY for t in taken) for s in taken) <= most


def test_no_24_hours_get_more_than_the_day_s_bytes_and_one_log():
    b, now = budget(10**6, 1000.0)
    draw, taken = random.Random(2), []
    for _ in range(5000):
        now[0] += draw.expovariate(1 / 60)
        if b.take("missed"):
            taken.append((now[0], draw.randrange(10, 60)))
            b.charge("missed", taken[-1][1])
    assert max(sum(n for t, n in taken if 0 <= t - s < DAY) for s, _ in taken) <= 1060
    assert sum(n for _, n in taken) > 1000


def test_a_restart_does_not_refill_it():
    b, _ = budget(100)
    b.restore([(60.0, "missed", 10)] * 25 + [(30.0, "gone_kind", 10)])
    assert not b.take("missed")
    b, _ = budget(100)
    b.restore([(DAY - 60, "missed", 10)] * 25)
    assert b.take("missed")


def merger(**options) -> Merger:
    m = Merger(**{"seconds": 60.0, "radius": 8.0, **options})
    m.note(verdict(), 100.0)
    return m


@pytest.mark.parametrize(
    ("other", "at", "repeats"),
    [
        (verdict(x=53.0, track=2), 110.0, True),  # the same place
        (verdict(x=90.0), 110.0, True),  # the same track
        (verdict(x=90.0, track=2), 110.0, False),
        (verdict(), 160.0, False),  # later
        (verdict("false_alarm"), 110.0, False),  # another kind
        (verdict("low_confidence"), 110.0, True),  # says no more than the miss did
        (verdict("sample"), 110.0, False),
    ],
)
def test_a_suspect_is_merged_with_one_of_its_place_or_track(other, at, repeats):
    assert merger().repeats(other, at) is repeats


def test_a_verdict_on_an_earlier_frame_forgets_nothing():
    """A still is noted at once, a miss with the tracker's lag."""
    m = Merger(seconds=60.0, radius=8.0)
    m.note(verdict("still"), 100.0)
    assert not m.repeats(verdict("missed", x=90.0, track=2), 99.8)
    assert m.repeats(verdict("still"), 100.04)
    m.note(verdict("missed", x=90.0, track=2), 99.8)
    late = verdict("missed", x=90.0, track=2)
    assert not m.repeats(late, 159.9)  # than its own minute, not than that of the first one
    assert not m.repeats(verdict("still"), 160.0)


def test_zero_seconds_merge_nothing_and_samples_hide_nothing():
    assert not merger(seconds=0.0).repeats(verdict(), 100.0)
    m = Merger(seconds=60.0, radius=8.0)
    m.note(verdict("sample", track=0), 100.0)
    assert not m.repeats(verdict("low_confidence", track=0), 101.0)
