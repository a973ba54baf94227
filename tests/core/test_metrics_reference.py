"""Against PyIRSTDMetrics, what the field counts Pd and Fa with. It asks for numpy < 2, though it runs with 2: so it is no dependency."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim.boxes import Box, Detection
from irdim.metrics import CentreDistance, MaskCentroid

reference = pytest.importorskip(
    "py_irstd_metrics", reason="pip install scikit-image && pip install --no-deps PyIRSTDMetrics"
)

SHAPE = (48, 64)
BINS = 5  # thresholds of the reference: 0, 0.2, ... 0.8


def draw(boxes, shape=SHAPE):
    """Scores (H, W): of each pixel the highest of the boxes drawn on it, 1 for labels. A box has the row and column under its centre at least."""
    y, x = (np.arange(n) for n in shape)
    scores = np.zeros(shape)
    for b in boxes:
        rows = (abs(y + 0.5 - b.y) <= b.h / 2) | (y == int(b.y))
        columns = (abs(x + 0.5 - b.x) <= b.w / 2) | (x == int(b.x))
        inside = np.outer(rows, columns)
        scores[inside] = np.maximum(scores[inside], getattr(b, "score", 1.0))
    return scores


def compare(frames):
    """frames: detections and labels of each; both count all of them, at every threshold of the reference."""
    theirs, ours = reference.ProbabilityDetectionAndFalseAlarmRate(num_bins=BINS), MaskCentroid()
    for detections, labels in frames:
        theirs.update(draw(detections), draw(labels) > 0)
        ours.update(detections, labels, SHAPE)
    for i, threshold in enumerate(theirs.thresholds):
        s = ours.at(
            float(np.nextafter(threshold, 2))
        )  # theirs reports what lies above the threshold, ours what reaches it
        assert s.true_positives == theirs.tp_objs[i]
        assert s.false_positives == theirs.fp_objs[i]
        assert s.targets == theirs.tp_objs[i] + theirs.fn_objs[i]
        assert s.false_alarm_pixels == theirs.fp_area[i]
    rates = theirs.get()
    s = ours.at(float(np.nextafter(theirs.thresholds[3], 2)))
    assert s.recall == pytest.approx(rates["probability_detection"][3])
    assert s.to_json()["false_alarm_pixels_per_pixel"] == pytest.approx(rates["false_alarm"][3])


def sixteenths(low, high):
    """Numbers whose sums are exact, so that both round the same edges."""
    return st.integers(int(16 * low), int(16 * high)).map(lambda n: n / 16)


places = st.tuples(sixteenths(0, 63.9), sixteenths(0, 47.9))
sides = st.one_of(st.integers(1, 9).map(float), sixteenths(0.3, 9))
boxes = st.lists(st.builds(lambda p, w, h: Box(*p, w, h), places, sides, sides), max_size=5)
scores = st.floats(0.01, 0.99)
anywhere = st.builds(lambda p, w, h, s: Detection(*p, w, h, s), places, sides, sides, scores)


@st.composite
def frame(draw_one):
    """Labels, and detections most of which lie near one."""
    labels = draw_one(boxes)
    detections = draw_one(st.lists(anywhere, max_size=4))
    for b in labels:
        dx, dy = draw_one(st.tuples(sixteenths(-4, 4), sixteenths(-4, 4)))
        x, y = min(max(b.x + dx, 0), 63.875), min(max(b.y + dy, 0), 47.875)
        detections.append(Detection(x, y, draw_one(sides), draw_one(sides), draw_one(scores)))
    return detections, labels


@given(st.lists(frame(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_mask_centroid_counts_as_the_reference_does(frames):
    compare(frames)


def test_the_same_area_case():
    """SCTransNet#14: the second detection is a false alarm of the area of the first, which is a hit."""
    detections = [Detection(10.5, 10.5, 5, 5, 0.9), Detection(40.5, 30.5, 5, 5, 0.9)]
    labels = [Box(10.5, 10.5, 5, 5)]
    compare([(detections, labels)])
    ours = MaskCentroid()
    ours.update(detections, labels, SHAPE)
    assert ours.at(0.5).false_alarm_pixels == 25


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), scores), max_size=12, unique_by=lambda c: c[:2]))
@settings(max_examples=50, deadline=None)
def test_where_boxes_neither_touch_nor_compete_centre_distance_agrees_too(cells):
    """Boxes of 3 px, one a cell of 8 px: components are boxes, and no detection reaches two targets."""
    rng = np.random.default_rng(len(cells))
    labels = [Box(8 * c + 4.5, 8 * r + 4.5, 3, 3) for r, c, _ in cells[::2]]
    offsets = rng.integers(-2, 3, (len(cells), 2))
    detections = [
        Detection(8 * c + 4.5 + dx, 8 * r + 4.5 + dy, 3, 3, s)
        for (r, c, s), (dx, dy) in zip(cells, offsets, strict=True)
    ]
    theirs, ours = reference.ProbabilityDetectionAndFalseAlarmRate(num_bins=BINS), CentreDistance(2.99)
    theirs.update(draw(detections), draw(labels) > 0)
    ours.update(detections, labels, SHAPE)
    if any(abs(a.x - b.x) <= 3 and abs(a.y - b.y) <= 3 for a in detections for b in detections if a is not b):
        return  # they touch
    s = ours.at(float(np.nextafter(theirs.thresholds[3], 2)))
    assert (s.true_positives, s.false_positives) == (theirs.tp_objs[3], theirs.fp_objs[3])
