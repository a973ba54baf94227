import numpy as np
import pytest

from irdim.boxes import Detection
from irdim.detector import Step
from irdim.sources import Frame
from irdim.tracks import STILL, Tracker, TrackerOptions
from irdim_edge.candidates import Candidates

OPTIONS = TrackerOptions(report=0.5)
PIXELS = np.zeros((60, 80), np.uint8)


def watch(scores: list[float | None], probability: float = 0.0, still: bool = False, seed: str = "s", pixels=PIXELS):
    """Verdicts of candidates of one target that moves 1 px a frame, with these scores (None: not seen)."""
    tracker, candidates = Tracker(OPTIONS), Candidates(OPTIONS, probability=probability, seed=seed)
    found = []
    for t, score in enumerate(scores):
        detections = [] if score is None else [Detection(10.0 + t, 30.0, 3, 3, score)]
        verdicts = tracker.update(t, t / 25, detections)
        if still:
            for track in tracker.tracks:
                track.status = STILL
        candidates.watch(
            Step(Frame(t, t / 25, pixels), "ok", "", detections), tracker.links, tracker.since(OPTIONS.confirm_window)
        )
        found += candidates.due(t - OPTIONS.lag, verdicts)
    return found + candidates.due(None, tracker.flush())


def test_a_weak_detection_on_a_track_is_of_low_confidence():
    found = watch([0.2] * 6)
    assert [v.frame for v in found] == [2, 3, 4, 5]  # from the third of five frames on
    assert {v.kind for v in found} == {"low_confidence"}
    assert found[0].score == pytest.approx(0.4)
    assert (found[0].x, found[0].y) == (12.0, 30.0)


def test_an_isolated_weak_detection_is_none():
    assert watch([None, None, 0.4, None, None, None]) == []


def test_what_is_judged_missed_is_not_said_twice():
    assert watch([0.9, 0.9, 0.9, 0.2, 0.9, 0.9, 0.9]) == []


def test_a_track_that_stands_still_is_none():
    assert watch([0.2] * 6, still=True) == []


def test_the_sample_is_of_the_stated_share_and_looks_at_nothing():
    plain = [v.frame for v in watch([None] * 4000, probability=0.05)]
    assert 150 < len(plain) < 250
    bright = watch([0.2] * 4000, probability=0.05, pixels=np.full((60, 80), 255, np.uint8))
    assert [v.frame for v in bright if v.kind == "sample"] == plain
    assert [v.frame for v in watch([None] * 4000, probability=0.05, seed="t")] != plain


def test_a_sample_is_the_whole_frame():
    (v, *_) = watch([None] * 3, probability=1.0)
    assert (v.kind, v.x, v.y, v.w, v.h, v.score) == ("sample", 40.0, 30.0, 80.0, 60.0, 0.0)
    assert "probability 1" in v.reason
