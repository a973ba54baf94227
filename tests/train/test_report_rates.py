"""Rates from the random sample: their intervals must cover, and too little must be said to be too little."""

import numpy as np
import pytest

from irdim_train.reporting.sample import Sampled, false_alarm_rate, miss_rate, share


def drawn(
    rng: np.random.Generator, frames: int, miss: float, alarms: float, *, two_rates: bool = False
) -> list[Sampled]:
    """A sample as a device takes it of a sky with up to 3 targets a frame that are seen or missed together more often than not."""
    found = []
    for _ in range(frames):
        p = rng.choice([0.01, 0.002]) if two_rates else 0.01
        targets = int(rng.choice([0, 1, 1, 3]))
        clouded = rng.random() < 0.2  # on a cloudy frame everything is missed
        each = 1.0 if clouded else (miss - 0.2) / 0.8
        missed = int(rng.binomial(targets, each))
        found.append(Sampled(1 / p, targets, missed, int(rng.poisson(alarms))))
    return found


@pytest.mark.parametrize("frames", [60, 200])
@pytest.mark.parametrize("two_rates", [False, True])
def test_intervals_cover_the_truth_about_as_often_as_they_claim(frames, two_rates):
    rng, miss, alarms, covered, turns = np.random.default_rng(1), 0.4, 0.3, np.zeros(2), 250
    for _ in range(turns):
        sample = drawn(rng, frames, miss, alarms, two_rates=two_rates)
        for k, (rate, truth) in enumerate(((miss_rate(sample), miss), (false_alarm_rate(sample), alarms))):
            assert rate.low is not None
            covered[k] += rate.low <= truth <= rate.high
    assert (covered / turns > 0.92).all(), covered / turns


def test_the_weights_undo_a_sample_that_was_taken_at_two_rates():
    """Frames with misses taken ten times as often as the others must not make the miss rate ten times as high."""
    often = [Sampled(10, 1, 1, 1)] * 100
    rarely = [Sampled(100, 1, 0, 0)] * 100
    assert miss_rate(often + rarely).value == pytest.approx(10 / 110)
    assert false_alarm_rate(often + rarely).value == pytest.approx(10 / 110)


def test_nothing_missed_is_no_proof_of_perfection():
    rate = miss_rate([Sampled(100, 1, 0, 0)] * 50)
    assert (rate.value, rate.low) == (0, 0)
    assert 0.05 < rate.high < 0.1  # Wilson for 0 of 50
    alarms = false_alarm_rate([Sampled(100, 0, 0, 0)] * 50)
    assert alarms.value == 0
    assert alarms.high == pytest.approx(3.69 / 50, rel=0.01)  # Garwood for 0


def test_targets_of_one_frame_are_no_independent_witnesses():
    apart = miss_rate([Sampled(1, 1, k % 2, 0) for k in range(90)])
    together = miss_rate([Sampled(1, 3, 3 * (k % 2), 0) for k in range(30)])
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_too_few_is_said_to_be_too_few():
    assert miss_rate([]).text == "too few to say (0 targets on 0 frames)"
    assert miss_rate([Sampled(1, 0, 0, 0)] * 500).value is None
    assert miss_rate([Sampled(1, 1, 0, 0)] * 9).value is None
    assert miss_rate([Sampled(1, 100, 100, 0)] * 3).value is None  # three frames, however many targets
    assert false_alarm_rate([Sampled(1, 0, 0, 0)] * 19).value is None
    assert share(3, 9).value is None
    assert share(6, 12).value == 0.5
