import numpy as np
import pytest

from irdim.boxes import Detection
from irdim.detector import Step
from irdim.fieldlog import pack_log
from irdim.sources import Frame
from irdim.tracks import Verdict
from irdim_edge.suspects import Cutter

CONTEXT = {"device": "mast-3", "camera": "west", "source": "x", "bundle": "ab" * 32, "interval": 0.04}
STATE = {"temperature": 31.5}


def step(t: int, height: int = 200, width: int = 300) -> Step:
    pixels = np.random.default_rng(t).integers(0, 4000, (height, width)).astype(np.uint16)
    return Step(
        Frame(t, t / 25, pixels), "ok", "", [Detection(150.0, 100.0, 3, 3, 0.9), Detection(5.0, 5.0, 3, 3, 0.9)]
    )


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


def test_memory_is_bounded_by_what_verdicts_need():
    assert len(filled(last=500)._ring) == 18
