import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim.boxes import Box, Detection
from irdim.metrics import CentreDistance

SHAPE = (100, 100)


def det(x, y, score=0.9, label="target"):
    return Detection(x, y, 5, 5, score, label)


def score(detections, labels, radius=3.0, threshold=0.5):
    metric = CentreDistance(radius)
    metric.update(detections, labels, SHAPE)
    return metric.at(threshold)


def test_one_target_counts_once():
    s = score([det(10, 10), det(11, 10, 0.8)], [Box(10, 11, 5, 5)])
    assert (s.true_positives, s.false_positives, s.targets) == (1, 1, 1)
    assert (s.precision, s.recall, s.f1) == pytest.approx((0.5, 1, 2 / 3))


def test_the_radius_is_inclusive_and_named():
    s = score([det(13, 10)], [Box(10, 10, 5, 5)])
    assert (s.true_positives, s.protocol) == (1, "centre-3px")
    assert score([det(13.01, 10)], [Box(10, 10, 5, 5)]).true_positives == 0


def test_a_detection_on_interference_is_a_false_alarm_counted_apart():
    s = score([det(10, 10)], [Box(10, 10, 5, 5, "interference")])
    assert (s.false_positives, s.on_interference) == (1, 1)


def test_ignore_regions_and_detections_of_interference_count_for_nothing():
    s = score([det(10, 10), det(50, 50, label="interference")], [Box(12, 12, 10, 10, "ignore")])
    assert (s.true_positives, s.false_positives) == (0, 0)


def test_a_false_alarm_is_not_hidden_by_another_of_the_same_size():
    """SCTransNet#14: a count that drops unmatched blobs by area loses one here."""
    s = score([det(10, 10), det(60, 60), det(80, 20)], [Box(10, 10, 5, 5)])
    assert s.false_positives == 2


def test_nothing_detected_and_nothing_there():
    assert score([], []).f1 == 0
    assert CentreDistance().best().f1 == 0
    assert CentreDistance().curve()["threshold"] == []


points = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=4)


@given(points, points)
@settings(max_examples=200)
def test_never_more_hits_than_the_best_matching_and_at_least_half(found, truth):
    detections = [det(x, y, 0.9 - 0.01 * i) for i, (x, y) in enumerate(found)]
    labels = [Box(x, y, 3, 3) for x, y in truth]
    hits = score(detections, labels).true_positives
    near = [[(d.x - b.x) ** 2 + (d.y - b.y) ** 2 <= 9 for b in labels] for d in detections]
    n = min(len(detections), len(labels))
    most = (
        max(
            (
                sum(near[i][j] for i, j in zip(rows, columns, strict=True))
                for rows in itertools.permutations(range(len(detections)), n)
                for columns in [range(n)]
                if len(labels) == n
            ),
            default=0,
        )
        if len(labels) == n
        else max(
            (
                sum(near[i][j] for i, j in zip(range(n), columns, strict=True))
                for columns in itertools.permutations(range(len(labels)), n)
            ),
            default=0,
        )
    )
    assert most / 2 <= hits <= most


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.integers(0, 40)), max_size=20), st.floats(0.01, 0.99))
def test_the_sweep_agrees_with_each_threshold_scored_alone(scored, threshold):
    """Strongest first makes what is matched at a threshold independent of what lies below it."""
    detections = [det(x, 10, s) for s, x in scored]
    labels = [Box(x, 10, 3, 3) for x in (5, 20, 35)]
    swept = score(detections, labels, threshold=threshold)
    alone = score([d for d in detections if d.score >= threshold], labels, threshold=threshold)
    assert (swept.true_positives, swept.false_positives) == (alone.true_positives, alone.false_positives)


def test_operating_points():
    metric = CentreDistance()
    metric.update([det(10, 10, 0.9), det(50, 50, 0.8), det(80, 80, 0.3)], [Box(10, 10, 3, 3), Box(80, 80, 3, 3)], SHAPE)
    assert metric.best().threshold == 0.3
    assert metric.best().f1 == pytest.approx(0.8)
    assert metric.at_false_alarms(0).threshold == 0.9
    assert metric.at_false_alarms(1).recall == 1


def test_frames_that_nobody_looked_at_do_not_dilute_the_rates():
    metric, cover = CentreDistance(), Box(32, 24, 64, 48, "ignore")
    for _ in range(10):
        metric.update([Detection(10, 10, 3, 3, 0.9)], [], (48, 64), 1.0)
    for _ in range(90):
        metric.update([Detection(10, 10, 3, 3, 0.9)], [cover], (48, 64), 1.0)
    score = metric.at(0.5)
    assert (score.frames, score.false_positives) == (10, 10)
    assert score.to_json()["false_alarms_per_frame"] == 1.0
