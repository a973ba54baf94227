import numpy as np
import pytest

from irdim.boxes import INTERFERENCE, Detection
from irdim.errors import InputError
from irdim.tracks import Tracker, TrackerOptions, Verdict


def seen(x: float, y: float, score: float = 0.9, label: str = "target") -> Detection:
    return Detection(x, y, 3.0, 3.0, score, label)


def run(frames: list[list[Detection]], tracker: Tracker | None = None, shift=(0.0, 0.0)) -> list[Verdict]:
    tracker = tracker or Tracker()
    found = [v for t, detections in enumerate(frames) for v in tracker.update(t, t / 25, detections, shift)]
    return found + tracker.flush()


def straight(length: int = 20, without: tuple[int, ...] = ()) -> list[list[Detection]]:
    return [[] if t in without else [seen(20 + 1.5 * t, 30 + 0.5 * t)] for t in range(length)]


def test_a_steady_target_gives_no_verdict():
    assert run(straight()) == []


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_each_frame_of_a_gap_is_missed_at_the_interpolated_place(gap):
    gone = tuple(range(10, 10 + gap))
    verdicts = run(straight(without=gone))
    assert [(v.kind, v.frame) for v in verdicts] == [("missed", t) for t in gone]
    for v in verdicts:
        assert (v.x, v.y) == pytest.approx((20 + 1.5 * v.frame, 30 + 0.5 * v.frame))
        assert 0 < v.score <= 1


def test_a_gap_longer_than_allowed_ends_the_track():
    assert run(straight(without=(10, 11, 12, 13))) == []


def test_a_weak_detection_is_linked_but_the_place_of_the_miss_lies_between_reports():
    frames = straight()
    frames[10] = [seen(37.0, 33.0, 0.1)]
    (verdict,) = run(frames)
    assert (verdict.kind, verdict.frame, verdict.x, verdict.y) == ("missed", 10, pytest.approx(35), pytest.approx(35))
    assert "0.10" in verdict.reason


def test_a_miss_of_what_hardly_moves_scores_low():
    def scores(speed: float, shift=(0.0, 0.0)) -> float:
        frames = [[] if t == 10 else [seen(50 + speed * t, 60)] for t in range(20)]
        return {v.frame: v.score for v in run(frames, shift=shift) if v.kind == "missed"}[10]

    assert scores(1.0) == pytest.approx(0.9)
    assert scores(0.2) < 0.5
    assert scores(1.0, shift=(0.0, 0.9)) < 0.3  # goes with the background
    assert scores(0.1, shift=(0.0, 1.0)) < 0.3  # stays on the sensor


def test_a_miss_on_a_track_that_went_over_to_a_knot_scores_low():
    onto_it = [
        [seen(38 + 1.5 * min(t, 8), 50)] for t in range(40)
    ]  # a target's last frames, then a knot that is reported off and on
    frames = [[] if t > 10 and t % 3 == 0 else found for t, found in enumerate(onto_it)]
    late = [v for v in run(frames) if v.kind == "missed" and v.frame > 18]
    assert late
    assert max(v.score for v in late) < 0.1


@pytest.mark.parametrize("every", [1, 3, 7])
def test_an_engine_too_slow_for_every_frame_confirms_tracks_and_bridges_their_gaps(every):
    tracker = Tracker()
    for turn, frame in enumerate(range(0, 15 * every, every)):
        faded = turn in (6, 7, 8)  # max_gap of them
        tracker.update(frame, frame / 25, [] if faded else [seen(20 + 0.4 * frame, 30)])
        assert tracker.confirmed == (turn >= 2)
    assert len(tracker.tracks) == 1
    tracker.update(15 * every, 1.0, [])
    for turn in range(16, 20):
        tracker.update(turn * every, 1.0, [])
    assert all(track.ended for track in tracker.tracks)


def test_weak_detections_alone_are_never_confirmed():
    tracker = Tracker()
    run([[seen(20 + t, 30, 0.2)] for t in range(20)], tracker)
    assert tracker.confirmed == 0


def test_a_single_report_is_a_false_alarm():
    frames = straight()
    frames[9].append(seen(90, 80, 0.7))
    (verdict,) = run(frames)
    assert (verdict.kind, verdict.frame, verdict.x, verdict.y, verdict.score) == ("false_alarm", 9, 90, 80, 0.7)


def test_a_report_near_a_track_is_no_false_alarm():
    frames = straight()
    frames[9].append(seen(20 + 1.5 * 9 + 4, 30 + 0.5 * 9))
    assert run(frames) == []


def test_two_detections_of_one_target_miss_nothing_while_one_is_there():
    def twice(t: int) -> list[Detection]:
        x, y = 20 + 1.5 * t, 30 + 0.5 * t
        return [seen(x, y), *([] if t in (8, 9, 14) else [seen(x + 4.5, y, 0.95)])]

    assert run([twice(t) for t in range(20)]) == []
    frames = [[] if t == 12 else twice(t) for t in range(20)]
    assert [(v.kind, v.frame) for v in run(frames)] == [("missed", 12)]


def test_the_first_and_the_last_frame_are_not_judged():
    frames = [[] for _ in range(12)]
    frames[0], frames[11] = [seen(5, 5)], [seen(50, 50)]
    assert run(frames) == []


def test_a_verdict_comes_exactly_the_lag_later():
    tracker, frames = Tracker(TrackerOptions(lag=5)), straight(without=(10,))
    at = [t for t, found in enumerate(frames) if tracker.update(t, t / 25, found)]
    assert at == [15]


def test_live_and_recorded_give_the_same_verdicts():
    rng = np.random.default_rng(1)
    frames = [
        [*f, *(seen(*rng.uniform(0, 200, 2), rng.uniform(0.1, 1)) for _ in range(rng.integers(0, 4)))]
        for f in straight(60, without=(20, 21, 40))
    ]
    whole = run(frames)
    tracker, live = Tracker(), []
    for t, found in enumerate(frames):
        live += tracker.update(t, t / 25, list(found))
        for v in live:
            assert v.frame <= t
    assert live + tracker.flush() == whole
    assert {(v.kind, v.frame) for v in whole} >= {("missed", 20), ("missed", 21), ("missed", 40)}


def test_camera_motion_is_taken_out():
    tracker = Tracker(TrackerOptions(max_speed=2))
    # the scene moves by (dy, dx) = (-3, 9) px a frame; the target moves 1 px a frame in the scene
    frames = [[] if t == 10 else [seen(10 + 9 * t + t, 150 - 3 * t)] for t in range(20)]
    (verdict,) = run(frames, tracker, shift=(-3.0, 9.0))
    assert (verdict.frame, verdict.x, verdict.y) == (10, pytest.approx(110), pytest.approx(120))
    assert tracker.confirmed == 1


def test_crossing_targets_keep_their_tracks():
    tracker, ids = Tracker(), {}
    for t in range(30):
        tracker.update(t, t / 25, [seen(10 + 2 * t, 40.5), seen(68 - 2 * t, 41)])
        ids[t] = [track.id if track else None for track in tracker.links]
    assert ids[0] == ids[29]
    assert tracker.confirmed == 2


def test_what_stands_on_the_sensor_is_still_and_proposed_once():
    rng, tracker = np.random.default_rng(0), Tracker()
    frames = [[] if t % 7 == 3 else [seen(40 + rng.normal(0, 0.2), 50 + rng.normal(0, 0.2))] for t in range(80)]
    verdicts = [v for t, f in enumerate(frames) for v in tracker.update(t, t / 25, f)]
    stills = [v for v in verdicts if v.kind == "still"]
    assert len(stills) == 1
    assert "on the sensor" in stills[0].reason
    assert tracker.tracks[0].status == "still"
    assert not [v for v in verdicts if v.kind == "missed" and v.frame > stills[0].frame]


def test_what_moves_with_the_background_is_still():
    tracker = Tracker()
    frames = [[seen(20 + 2 * t, 50)] for t in range(40)]
    (verdict,) = run(frames, tracker, shift=(0.0, 2.0))
    assert (verdict.kind, "background" in verdict.reason) == ("still", True)


def test_interference_is_not_linked():
    tracker = Tracker()
    tracker.update(0, 0.0, [seen(5, 5, label=INTERFERENCE), seen(50, 50)])
    assert [bool(link) for link in tracker.links] == [False, True]


def test_flush_ends_every_track_and_takes_frames_from_the_beginning_again():
    tracker = Tracker()
    run(straight(), tracker)
    assert tracker.tracks == []
    assert run(straight(without=(10,)), tracker)[0].frame == 10


def test_frames_out_of_order_are_refused():
    tracker = Tracker()
    tracker.update(5, 0.2, [])
    with pytest.raises(InputError, match="frame 5 came after frame 5"):
        tracker.update(5, 0.2, [])


@pytest.mark.parametrize(
    "wrong", [{"confirm_hits": 6}, {"lag": 0}, {"max_gap": -1}, {"max_speed": float("nan")}, {"keep": 5}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(InputError):
        TrackerOptions(**wrong)


def test_two_hundred_detections_a_frame_stay_fast_and_bounded():
    import time

    rng, tracker = np.random.default_rng(0), Tracker()
    began = time.process_time()
    for t in range(60):
        tracker.update(t, t / 25, [seen(*rng.uniform(0, 512, 2), rng.uniform(0.05, 0.6)) for _ in range(200)])
    assert time.process_time() - began < 60 * 0.15
    assert len(tracker.tracks) < 200 * 14


@pytest.mark.parametrize("every", [1, 5, 10, 50])
def test_noise_makes_no_tracks_however_many_frames_are_skipped(every):
    rng, tracker = np.random.default_rng(0), Tracker()
    for frame in range(0, 400 * every, every):
        found = [Detection(*rng.uniform((0, 0), (640, 512)), 3, 3, 0.9) for _ in range(2)]
        tracker.update(frame, frame / 25, found)
    assert tracker.confirmed == 0
