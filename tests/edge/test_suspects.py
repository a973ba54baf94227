import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from test_daemon import config, lines, record

from irdim.boxes import Detection
from irdim.dataset.frames import read_through
from irdim.detector import Step
from irdim.fieldlog import pack_log
from irdim.sources import Frame
from irdim.tracks import Verdict
from irdim_edge.cameras import replay
from irdim_edge.config import load_config
from irdim_edge.daemon import run
from irdim_edge.handover import MOST_WAITING
from irdim_edge.suspects import Cutter

CONTEXT = {"device": "mast-3", "camera": "west", "source": "x", "bundle": "ab" * 32, "interval": 0.04}
STATE = {"temperature": 31.5}


def step(t: int, height: int = 200, width: int = 300) -> Step:
    pixels = np.random.default_rng(t).integers(0, 4000, (height, width)).astype(np.uint16)
    return Step(
        Frame(t, t / 25, pixels), "ok", "", [Detection(150.0, 100.0, 3, 3, 0.9), Detection(5.0, 5.0, 3, 3, 0.9)]
    )


def skipped(t: int) -> Step:
    return replace(step(t), status="warming", reason="skipped", detections=[])


def verdict(frame: int, x: float = 150.0, y: float = 100.0) -> Verdict:
    return Verdict("missed", frame, x, y, 3.0, 3.0, 0.5, 1, "nothing here")


def filled(last: int = 40, **options) -> Cutter:
    cutter = Cutter(**{"before": 12, "after": 5, "lag": 5, "crop": 128, **options})
    for t in range(last + 1):
        cutter.push(step(t))
    return cutter


def test_history_and_what_followed_are_cut_losslessly():
    suspect = filled().cut(verdict(35), None, CONTEXT, STATE)
    assert suspect.indices == list(range(23, 41))
    assert suspect.origin == (36, 86)
    assert np.array_equal(suspect.frames[12], step(35).frame.pixels[36:164, 86:214])
    assert {d["x"] for d in suspect.detections} == {150.0}
    assert suspect.camera_state == STATE
    pack_log(suspect)


@pytest.mark.parametrize(
    ("x", "y", "origin"), [(0.0, 0.0, (0, 0)), (299.9, 199.9, (72, 172)), (-3.0, 250.0, (72, 0)), (300.0, 0, (0, 172))]
)
def test_at_the_border_the_crop_moves_into_the_frame(x, y, origin):
    suspect = filled().cut(verdict(35, x, y), None, CONTEXT, STATE)
    assert (suspect.origin, suspect.frames.shape[1:]) == (origin, (128, 128))
    pack_log(suspect)


def test_whole_frames_on_request():
    suspect = filled(whole_frame=True).cut(verdict(35), None, CONTEXT, STATE)
    assert suspect.frames.shape == (18, 128, 128)
    assert np.array_equal(suspect.whole_frame, step(35).frame.pixels)
    pack_log(suspect)


def test_a_sample_is_whole_and_says_its_probability():
    sample = Verdict("sample", 35, 150.0, 100.0, 300.0, 200.0, 0.0, 0, "taken at random")
    suspect = filled().cut(sample, None, CONTEXT, STATE, 0.25)
    assert suspect.frames.shape == (18, 200, 300)
    assert (suspect.sample_probability, suspect.verdict["track"]) == (0.25, None)
    pack_log(suspect)


def test_a_frame_smaller_than_the_crop_is_kept_whole():
    cutter = Cutter(before=2, after=1, lag=5, crop=128)
    for t in range(10):
        cutter.push(step(t, 60, 300))
    assert cutter.cut(verdict(6, 150, 30), None, CONTEXT, STATE).frames.shape == (4, 60, 128)


def test_nothing_is_cut_across_a_break():
    cutter = filled()
    cutter.clear()
    assert cutter.cut(verdict(40), None, CONTEXT, STATE) is None


def test_frames_that_were_skipped_do_not_push_out_those_before_a_verdict_that_is_due():
    cutter = filled(last=36)
    for t in range(37, 80):
        cutter.push(skipped(t))
    cutter.push(step(80))  # the first that is five frames after 32 to 36
    for t in (32, 36):
        assert cutter.cut(verdict(t), None, CONTEXT, STATE).indices == list(range(t - 12, t + 6))


@pytest.mark.parametrize("depth", [np.uint16, np.uint8])
def test_nothing_of_another_size_or_depth_is_cut(depth):
    cutter = Cutter(before=3, after=5, lag=5, crop=64)
    for t in range(12):
        one = step(t, *((200, 300) if 4 <= t < 8 or depth != np.uint16 else (48, 60)))
        pixels = one.frame.pixels if 4 <= t < 8 else one.frame.pixels.astype(depth)
        cutter.push(replace(one, frame=replace(one.frame, pixels=pixels)))
    assert cutter.cut(verdict(6), None, CONTEXT, STATE).indices == [4, 5, 6, 7]


def test_a_suspect_whose_frames_have_gone_is_counted_and_its_line_says_so(small_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(Cutter, "cut", lambda *_: None)
    record(tmp_path / "clip.npy", 40)
    path = config(tmp_path, small_bundle, **{"suspects.sample_probability": 1.0, "upload.url": ""})
    summary = run(load_config(path), threading.Event())
    dropped = Counter(line["kind"] for line in lines(tmp_path, "verdicts") if line.get("why") == "dropped")
    assert summary.dropped == dropped
    assert dropped["sample"] > 10
    assert not summary.suspects


def test_a_stop_while_a_recording_is_read_for_its_digest_leaves_no_suspect_without_it(
    small_bundle, tmp_path, monkeypatch
):
    stopping = threading.Event()

    def stopped(*arguments):
        stopping.set()
        return read_through(*arguments)

    monkeypatch.setattr(replay, "read_through", stopped)
    record(tmp_path / "clip.npy")
    summary = run(load_config(config(tmp_path, small_bundle, **{"upload.url": ""})), stopping)
    assert (summary.state, summary.errors) == ("stopped", 0)
    assert not summary.suspects
    dropped = [line["kind"] for line in lines(tmp_path, "verdicts") if line.get("why") == "dropped"]
    assert summary.dropped == Counter(dropped)
    assert dropped


def test_memory_is_bounded_by_what_verdicts_need():
    assert len(filled(last=500)._ring) == 18


def test_memory_is_bounded_by_what_may_wait_where_nothing_is_judged():
    cutter = filled(last=36)
    for t in range(37, 500):
        cutter.push(skipped(t))
    assert len(cutter._ring) == 18 + MOST_WAITING
