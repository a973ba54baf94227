import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from irdim.boxes import Box, Detection
from irdim.errors import InputError
from irdim.metrics import PROTOCOLS, BoxOverlap, CentreDistance, MaskCentroid, open_metric
from irdim.score_scale import ScoreScale

SHAPE = (60, 80)


def det(x, y, score=0.9, size=5.0, label="target"):
    return Detection(x, y, size, size, score, label)


def score(metric, detections, labels, threshold=0.5):
    metric.update(detections, labels, SHAPE)
    return metric.at(threshold)


places = st.tuples(st.floats(1, 30), st.floats(1, 20))
sides = st.floats(1, 9)
boxes = st.lists(st.builds(lambda p, w, h: Box(*p, w, h), places, sides, sides), max_size=4)
found = st.lists(
    st.builds(lambda p, w, h, s: Detection(*p, w, h, s), places, sides, sides, st.floats(0.01, 0.99)), max_size=4
)


def area_shared(a, b):
    """Intersection over union by counting the squares of a fine grid that either box covers."""
    fine = np.arange(-5, 40, 0.05) + 0.025
    inside = [
        (abs(fine[None, :] - o.x) <= o.w / 2) & (abs(fine[:, None] - o.y) <= o.h / 2) for o in (a, b)
    ]  # (H, W) bool each
    return (inside[0] & inside[1]).sum() / max((inside[0] | inside[1]).sum(), 1)


def best_assignment(costs, reach):
    """Every one-to-one pairing is tried; the best gives the strongest detection its least cost, then the next, and so on."""
    detections, targets = costs.shape
    choices = [*range(targets), *[None] * detections]
    ranked = []
    for picked in set(itertools.permutations(choices, detections)):
        cost = tuple(np.inf if j is None else costs[i, j] for i, j in enumerate(picked))
        if all(c <= reach for c in cost if c < np.inf):
            ranked.append((cost, picked))
    return min(ranked, key=lambda r: r[0])[1]


@given(found, boxes)
@settings(max_examples=150, deadline=None)
def test_centre_distance_is_the_best_one_to_one_pairing_strongest_first(detections, labels):
    order = sorted(detections, key=lambda d: -d.score)
    costs = np.array([[np.hypot(d.x - b.x, d.y - b.y) for b in labels] for d in order]).reshape(len(order), len(labels))
    picked = best_assignment(costs, 3.0)
    hits = sum(j is not None for j in picked)
    s = score(CentreDistance(), detections, labels, threshold=0)
    assert (s.true_positives, s.false_positives, s.targets) == (hits, len(order) - hits, len(labels))


@given(found, boxes)
@settings(max_examples=60, deadline=None)
def test_overlap_is_the_shared_area(detections, labels):
    for d, b in itertools.product(detections, labels):
        s = score(BoxOverlap(), [d], [b], threshold=0)
        shared = area_shared(d, b)
        if abs(shared - 0.5) > 0.05:  # the grid's own error
            assert s.true_positives == (shared >= 0.5)


@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.booleans()), max_size=6))
def test_targets_far_apart_are_matched_as_well_as_can_be(offsets):
    """Where no detection can reach two targets, strongest first loses nothing against the best assignment."""
    labels = [Box(6 + 12 * i, 30, 3, 3) for i in range(6)]
    detections = [
        det(labels[i].x + dx, 30 + dy, 0.9 - 0.01 * i + (0.05 if other else 0))
        for i, (dx, dy, other) in enumerate(offsets)
    ]
    near = np.array([[np.hypot(d.x - b.x, d.y - b.y) <= 3 for b in labels] for d in detections]).reshape(-1, 6)
    most = near[linear_sum_assignment(near, maximize=True)].sum()
    assert score(CentreDistance(), detections, labels, threshold=0).true_positives == most


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_false_alarm_of_the_area_of_a_matched_target_counts(protocol):
    """SCTransNet#14: a count that drops unmatched blobs by their area value loses one here."""
    s = score(open_metric(protocol), [det(10.5, 10.5), det(60.5, 40.5)], [Box(10.5, 10.5, 5, 5)])
    assert (s.true_positives, s.false_positives) == (1, 1)
    if protocol == "mask-centroid":
        assert s.to_json()["false_alarm_pixels_per_pixel"] == 25 / (60 * 80)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ignore_and_interference_under_every_protocol(protocol):
    labels = [Box(10, 10, 5, 5, "interference"), Box(40, 30, 20, 20, "ignore")]
    s = score(open_metric(protocol), [det(10, 10), det(45, 35), det(70, 50), det(20, 50, label="interference")], labels)
    assert (s.true_positives, s.false_positives, s.on_interference, s.targets) == (0, 2, 1, 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(found, boxes, st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_the_sweep_agrees_with_each_threshold_scored_alone(protocol, detections, labels, threshold):
    swept = score(open_metric(protocol), detections, labels, threshold)
    alone = score(open_metric(protocol), [d for d in detections if d.score >= threshold], labels, threshold)
    assert swept == alone


def test_boxes_that_touch_are_one_component():
    touching = [det(10.5, 10.5, size=3), det(13.5, 13.5, size=3)]  # corner to corner
    s = score(MaskCentroid(), touching, [Box(12, 12, 6, 6)])
    assert (s.true_positives, s.false_positives) == (1, 0)
    apart = [det(10.5, 10.5, size=3), det(14.5, 14.5, size=3)]
    s = score(MaskCentroid(), apart, [Box(12, 12, 6, 6)])
    assert (s.true_positives, s.false_positives, s.false_alarm_pixels) == (1, 1, 9)


def test_a_weak_detection_may_spoil_a_strong_ones_hit_on_masks():
    metric = MaskCentroid()
    metric.update([det(10.5, 10.5, 0.9), det(16.5, 10.5, 0.4, size=7)], [Box(10.5, 10.5, 5, 5)], SHAPE)
    assert metric.at(0.5).true_positives == 1
    assert metric.at(0.3).true_positives == 0
    with pytest.raises(TypeError, match="no one score"):
        metric.found_at()


def test_a_detection_beyond_the_edge_is_drawn_at_the_edge():
    s = score(MaskCentroid(), [det(-1.0, 61.0, size=3)], [])
    assert s.false_positives == 1
    assert 1 <= s.false_alarm_pixels <= 9


def test_the_score_at_which_each_target_is_found():
    metric = CentreDistance()
    metric.update([det(10, 10, 0.4), det(50, 20, 0.8)], [Box(50, 20, 3, 3), Box(30, 30, 3, 3)], SHAPE)
    metric.update([det(10, 10, 0.6)], [Box(10, 10, 3, 3)], SHAPE)
    np.testing.assert_array_equal(metric.found_at(), [0.8, np.nan, 0.6])


def test_rates_per_hour_need_every_interval():
    metric = CentreDistance()
    for _ in range(5):
        metric.update([det(10, 10)], [], SHAPE, interval=0.2)
    assert metric.at(0.5).false_alarms_per_hour == pytest.approx(3600 * 5)
    metric.update([], [], SHAPE)
    assert metric.at(0.5).false_alarms_per_hour is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_metrics_of_parts_add_up(protocol):
    rng = np.random.default_rng(0)
    whole, parts = open_metric(protocol), [open_metric(protocol) for _ in range(3)]
    for i in range(30):
        labels = [Box(*rng.uniform(5, 50, 2), 4, 4) for _ in range(2)]
        detections = [det(b.x + rng.normal(0, 2), b.y, rng.uniform()) for b in labels]
        for metric in (whole, parts[i // 10]):
            metric.update(detections, labels, SHAPE, interval=0.5)
    total = open_metric(protocol)
    for part in parts:
        total.extend(part)
    assert total.at(0.3) == whole.at(0.3)
    assert total.curve() == whole.curve()


def test_protocols_go_by_name():
    for name in (*PROTOCOLS, "centre-6px", "centre-1.5px", "iou-30"):
        assert open_metric(name).protocol == name
    for name in ("centre-0px", "centre3", "iou-0", "iou-120", "mask", "centre-px", ""):
        with pytest.raises(InputError, match="choose centre-Rpx"):
            open_metric(name)


def test_a_curve_is_thinned_without_losing_its_ends():
    metric = CentreDistance()
    rng = np.random.default_rng(0)
    for _ in range(500):
        metric.update([det(10, 10, rng.uniform()), det(40, 40, rng.uniform() / 2)], [Box(10, 10, 3, 3)], SHAPE)
    whole, thin = metric.curve(), metric.curve(50)
    assert len(thin["threshold"]) <= 51 < len(whole["threshold"])
    assert (thin["recall"][0], thin["recall"][-1]) == (whole["recall"][0], whole["recall"][-1])


def test_a_sweep_over_100000_detections_takes_well_under_a_second():
    metric = CentreDistance()
    rng = np.random.default_rng(0)
    for _ in range(2000):
        metric.update([det(10, 10, s) for s in rng.uniform(size=50)], [Box(10, 10, 3, 3)], SHAPE)
    begun = time.process_time()
    metric.curve()
    metric.best()
    metric.at_false_alarms(0.1)
    assert time.process_time() - begun < 0.5


def test_scaled_scores_move_thresholds_and_nothing_else():
    metric = CentreDistance()
    metric.update([det(10, 10, 0.8), det(40, 40, 0.4)], [Box(10, 10, 3, 3), Box(70, 10, 3, 3)], SHAPE)
    scale = ScoreScale(2.0, -1.0)
    scaled = metric.scaled(scale)
    assert scaled.curve()["recall"] == metric.curve()["recall"]
    np.testing.assert_allclose(scaled.curve()["threshold"], scale(np.array([0.8, 0.4])))
    np.testing.assert_allclose(scaled.found_at(), [float(scale(0.8)), np.nan])
    scaled.update([det(10, 10)], [], SHAPE)
    assert (scaled.at(0).frames, metric.at(0).frames) == (2, 1)
