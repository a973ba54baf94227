import numpy as np
import pytest

from irdim.metrics import FEWEST, Score, paired_difference, ratio_interval, score_intervals


def make_score(hits, alarms, targets, frames=100):
    return Score("centre-3px", 0.5, int(hits), int(alarms), 0, int(targets), frames, frames * 1000)


def draw_sequences(rng, count, targets=100):
    """Sequences as they come: each has a detection probability of its own, mean 0.6, and a false-alarm rate of its own, mean 0.3 a frame."""
    found = rng.binomial(targets, rng.beta(3, 2, count))
    alarms = rng.poisson(targets * rng.gamma(2, 0.15, count))
    return [make_score(h, a, targets) for h, a in zip(found, alarms, strict=True)]


@pytest.mark.parametrize(("sequences", "least"), [(6, 0.82), (12, 0.88), (40, 0.92)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(sequences, least):
    """95 %, less what a skewed rate (false alarms) of few sequences costs."""
    rng = np.random.default_rng(sequences)
    truth = {"recall": 0.6, "false_alarms_per_frame": 0.3, "f1": 2 * 0.6 / (0.6 + 0.3 + 1)}
    covered = dict.fromkeys(truth, 0)
    repeats = 300
    for seed in range(repeats):
        intervals = score_intervals(draw_sequences(rng, sequences), seed=seed)
        for name, value in truth.items():
            covered[name] += intervals[name].low <= value <= intervals[name].high
    shares = {name: n / repeats for name, n in covered.items()}
    assert all(least <= share <= 0.995 for share in shares.values()), shares


def test_taking_frames_for_samples_would_cover_far_less():
    """Why sequences are drawn: the same data, every frame as if it were a sequence of its own."""
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(30):
        found = rng.binomial(1, np.repeat(rng.beta(3, 2, 12), 50))
        low_high = ratio_interval(found, np.ones_like(found), seed=seed)
        covered += low_high.low <= 0.6 <= low_high.high
    assert covered < 24  # 80 %


def test_too_few_sequences_give_no_interval():
    rng = np.random.default_rng(0)
    few = score_intervals(draw_sequences(rng, FEWEST - 1))["f1"]
    assert (few.low, few.high, few.sequences) == (None, None, FEWEST - 1)
    assert few.text == "too few sequences (4)"
    assert score_intervals([])["f1"].low is None
    assert score_intervals(draw_sequences(rng, FEWEST))["f1"].low is not None


def test_the_same_seed_gives_the_same_interval():
    scores = draw_sequences(np.random.default_rng(0), 10)
    assert score_intervals(scores, seed=3) == score_intervals(scores, seed=3) != score_intervals(scores, seed=4)


def test_sequences_without_a_target_in_question_are_left_out_and_not_counted():
    parts, wholes = np.array([5, 0, 6, 7, 8, 9]), np.array([10, 0, 10, 10, 10, 10])
    assert ratio_interval(parts, wholes).sequences == 5
    assert ratio_interval(parts[:5], wholes[:5]).low is None


def as_named(scores):
    return {f"s{i}": s for i, s in enumerate(scores)}


def test_paired_differences_see_what_two_intervals_hide():
    """Sequences differ by far more than the two evaluations do, and both evaluations see the same ones."""
    rng = np.random.default_rng(0)
    hits = rng.integers(10, 90, 20)
    first = as_named([make_score(h, 10, 100) for h in hits])
    second = as_named([make_score(h + 4, 10, 100) for h in hits])
    found = paired_difference(first, second)
    assert found.clear
    assert 0 < found.interval.low < found.f1 < found.interval.high < 0.06
    alone = [score_intervals(list(s.values()))["f1"] for s in (first, second)]
    assert alone[0].high > alone[1].low  # the intervals of each overlap


def test_paired_differences_cover_none_where_there_is_none():
    rng = np.random.default_rng(1)
    clear = 0
    for seed in range(200):
        probability = rng.beta(3, 2, 12)
        first, second = (as_named([make_score(h, 10, 100) for h in rng.binomial(100, probability)]) for _ in range(2))
        clear += paired_difference(first, second, seed=seed).clear
    assert clear <= 20  # 5 % of 200, with room for chance


def test_pairs_must_be_of_the_same_sequences():
    a = as_named([make_score(5, 1, 10)] * 6)
    with pytest.raises(ValueError, match="s5"):
        paired_difference(a, {n: s for n, s in a.items() if n != "s5"})


def test_many_sequences_are_resampled_in_bounded_memory():
    import tracemalloc

    scores = [make_score(5, 1, 10, 10)] * 10_000
    tracemalloc.start()
    interval = score_intervals(scores)["f1"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert interval.low == pytest.approx(2 * 5 / 16)
    assert peak < 200e6
