"""Capture and the input step ahead of the engine: nothing of a replay is lost, of a live camera the newest frame counts."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from test_daemon import config, lines, record, wait_for
from test_takeover import variant

from irdim.bundle import Bundle
from irdim.detector import Detector
from irdim.engines.onnx import OnnxEngine
from irdim.errors import InputError
from irdim.fieldlog import read_log
from irdim.input_step import InputStep
from irdim.sources import Frame, open_source
from irdim_edge import daemon, pipeline, writer
from irdim_edge.cameras import Began, Shot
from irdim_edge.config import load_config
from irdim_edge.daemon import run
from irdim_edge.handover import MOST_WAITING, Handover
from irdim_edge.pipeline import Feed, Ready, engine_threads


def shot(index: int, fault: str = "", *, late: float = 0.0, shape: tuple[int, int] = (48, 64)) -> Shot:
    """late: seconds that it comes late, of a camera whose interval is known."""
    pixels = np.random.default_rng(index).integers(900, 1100, shape).astype(np.uint16)
    return Shot(Frame(index, index * 0.04 + late, pixels), time.time(), time.monotonic(), fault, 0.04)


class Given:
    """A camera that gives what it is told, as fast as it is asked."""

    trouble, hangs = "", False
    state: dict = {}  # noqa: RUF012

    def __init__(self, items, *, live: bool) -> None:
        self.items, self.live, self.counts = items, live, Counter()
        self.given = threading.Event()

    def shots(self, stopping):
        yield from self.items
        self.given.set()


class Never:
    """No new bundle comes."""

    def take(self):
        return None


def stating(bundle, to, interval: float | None):
    """A copy of a bundle whose card states another interval, or none."""
    return variant(bundle, to / f"states-{interval}", interval=interval)


def feed_of(camera, bundle, stopping=None, note=lambda error: None) -> Feed:
    detector = Detector.from_bundle(Bundle.load(bundle), threads=1)
    return Feed(camera, detector, Never(), stopping or threading.Event(), kept=20, note=note)


def test_a_replay_loses_nothing_however_slow_the_engine_is(small_bundle):
    camera = Given([Began("a"), *map(shot, range(30)), Began("b"), *map(shot, range(5))], live=False)
    found = []
    for item in feed_of(camera, small_bundle):
        time.sleep(0.002)
        if item is not None:
            found.append(item.name if isinstance(item, Began) else (item.shot.frame.index, len(item.skipped)))
    assert found == ["a", *((i, 0) for i in range(30)), "b", *((i, 0) for i in range(5))]


def test_of_a_live_camera_the_newest_counts_and_the_rest_is_skipped(small_bundle):
    """The engine takes nothing until all frames are there: two went ahead, the others wait."""
    camera = Given([Began("a"), *map(shot, range(40))], live=True)
    feed = feed_of(camera, small_bundle)
    assert camera.given.wait(20)
    time.sleep(0.3)
    ready = [item for item in feed if isinstance(item, Ready)]
    assert [i for r in ready for i in [*(s.frame.index for s in r.skipped), r.shot.frame.index]] == list(range(40))
    assert ready[-1].shot.frame.index == 39
    assert len(ready) <= 6
    assert sum(len(r.skipped) for r in ready) == 40 - len(ready) > 30


def test_skipped_frames_are_in_the_history_of_the_newest(small_bundle):
    """What the network reads is what it would read had no frame been skipped."""
    camera = Given([Began("a"), *map(shot, range(40))], live=True)
    feed = feed_of(camera, small_bundle)
    assert camera.given.wait(20)
    time.sleep(0.3)
    last = [item for item in feed if isinstance(item, Ready)][-1]
    step = Detector.from_bundle(Bundle.load(small_bundle), threads=1).input
    prepared = [step.push(shot(i).frame) for i in range(40)][-1]
    assert np.array_equal(last.prepared.image, prepared.image)


def test_too_many_that_wait_are_overrun_the_oldest_first():
    handover = Handover(lossless=False, stopping=threading.Event())
    for item in [Began("a"), *map(shot, range(MOST_WAITING + 9)), Began("b")]:
        handover.put(item)
    handover.close()
    assert isinstance(handover.take()[0], Began)
    assert [s.frame.index for s in handover.take()] == list(range(11, MOST_WAITING + 9))
    assert handover.take()[0].name == "b"
    assert handover.take() == []
    assert handover.overrun == 11


def test_a_fault_voids_the_history(small_bundle):
    history = Bundle.load(small_bundle).card.input.history
    camera = Given([Began("a"), *(shot(i, "gain" if i == 20 else "") for i in range(40))], live=False)
    reasons = [
        r.prepared if isinstance(r.prepared, str) else "ok"
        for r in feed_of(camera, small_bundle)
        if r and isinstance(r, Ready)
    ]
    assert reasons == ["history"] * (history - 1) + ["ok"] * (21 - history) + ["gain"] * (history - 1) + ["ok"] * (
        21 - history
    )


@pytest.mark.parametrize("late", [59.0, -0.5])
def test_a_gap_voids_the_history_of_a_bundle_that_states_no_interval(small_bundle, tmp_path, late):
    bundle = stating(small_bundle, tmp_path, None)
    history = Bundle.load(bundle).card.input.history
    camera = Given([Began("a"), *(shot(i, late=late * (i >= 20)) for i in range(30))], live=False)
    reasons = [
        r.prepared if isinstance(r.prepared, str) else "ok" for r in feed_of(camera, bundle) if isinstance(r, Ready)
    ]
    assert reasons[20 : 20 + history] == ["gap"] * (history - 1) + ["ok"]


def test_a_fault_among_skipped_frames_is_told(small_bundle):
    """By the newest frame the history is full again; that it broke off in between is said all the same."""
    camera = Given([Began("a"), *(shot(i, "gain" if i == 20 else "") for i in range(40))], live=True)
    feed = feed_of(camera, small_bundle)
    assert camera.given.wait(20)
    time.sleep(0.3)
    ready = [item for item in feed if isinstance(item, Ready)]
    assert not isinstance(ready[-1].prepared, str)
    around = next(r for r in ready if any(s.frame.index == 20 for s in [*r.skipped, r.shot]))
    assert around.breaks == {20}
    assert not any(r.breaks for r in ready if r is not around)


def test_a_new_bundle_with_a_longer_history_is_offered_when_that_is_full(small_bundle):
    bundle = Bundle.load(small_bundle)
    longer = Detector.from_bundle(bundle, threads=1)
    spec = replace(bundle.card.input, frame_step=4)
    longer.input = InputStep(replace(bundle.card, input=spec))

    class Soon(Never):
        asked = 0

        def take(self):
            self.asked += 1
            return (bundle, longer) if self.asked == 20 else None

    detector = Detector.from_bundle(bundle, threads=1)
    camera = Given([Began("a"), *map(shot, range(60))], live=False)
    feed, offered, reasons = Feed(camera, detector, Soon(), threading.Event(), kept=9, note=lambda e: None), [], []
    for item in feed:
        if isinstance(item, Ready):
            reasons.append(item.prepared if isinstance(item.prepared, str) else "ok")
            if item.offer is not None:
                offered.append(item.shot.frame.index)
                assert not isinstance(item.offer.prepared, str)
                feed.answer(True)
    assert offered == [19 - 9 + spec.history - 1]
    assert reasons == ["history"] * (bundle.card.input.history - 1) + ["ok"] * (61 - bundle.card.input.history)


def test_a_new_bundle_that_states_no_interval_has_no_history_across_a_gap(small_bundle, tmp_path):
    loaded = Bundle.load(stating(small_bundle, tmp_path, None))
    new, history = Detector.from_bundle(loaded, threads=1), loaded.card.input.history

    class Soon(Never):
        asked = 0

        def take(self):
            self.asked += 1
            return (loaded, new) if self.asked == 20 else None

    old = Detector.from_bundle(loaded, threads=1)
    camera = Given([Began("a"), *(shot(i, late=5.0 * (i >= 18)) for i in range(40))], live=False)
    feed, offered = Feed(camera, old, Soon(), threading.Event(), kept=20, note=lambda e: None), []
    for item in feed:
        if isinstance(item, Ready) and item.offer is not None:
            offered.append(item.shot.frame.index)
            feed.answer(True)
    assert offered == [18 + history - 1]


def test_what_the_camera_raises_comes_after_its_frames(small_bundle):
    def broken():
        yield Began("a")
        yield from map(shot, range(9))
        raise InputError("frame 9 is broken")

    camera, found = Given(broken(), live=False), []
    with pytest.raises(InputError, match="frame 9"):
        found.extend(item for item in feed_of(camera, small_bundle) if isinstance(item, Ready))
    camera, found = Given(broken(), live=False), []
    with pytest.raises(InputError, match="frame 9"):  # noqa: PT012
        for item in feed_of(camera, small_bundle):
            if isinstance(item, Ready):
                found.append(item.shot.frame.index)
    assert found == list(range(9))


def test_what_the_engine_raises_comes_after_the_frames_before(small_bundle, monkeypatch):
    real, history = OnnxEngine.run, Bundle.load(small_bundle).card.input.history
    runs = iter(range(100))

    def fails(self, image):
        if next(runs) == 3:
            raise RuntimeError("out of memory")
        return real(self, image)

    monkeypatch.setattr(OnnxEngine, "run", fails)
    found, feed = [], feed_of(Given([Began("a"), *map(shot, range(40))], live=False), small_bundle)
    with pytest.raises(RuntimeError, match="out of memory"):  # noqa: PT012
        for item in feed:
            if isinstance(item, Ready):
                found.append(item.shot.frame.index)
    assert found == list(range(history - 1 + 3))
    feed.close()


def test_an_engine_that_does_not_come_back_is_told(small_bundle, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(OnnxEngine, "run", lambda self, image: released.wait(20))
    monkeypatch.setattr(pipeline, "HANGS", 0.3)
    stopping = threading.Event()
    feed = feed_of(Given([Began("a"), *map(shot, range(40))], live=True), small_bundle, stopping)
    assert not feed.hangs
    waited = time.monotonic()
    for item in feed:
        if feed.hangs:
            break
        assert item is None or not isinstance(item, Ready) or isinstance(item.prepared, str)
        assert time.monotonic() - waited < 20
    stopping.set()
    released.set()
    feed.close()


def test_of_many_cores_one_is_left_to_the_input_step(monkeypatch):
    for cores, wanted in ((1, 1), (2, 2), (4, 4), (5, 4), (8, 7)):
        monkeypatch.setattr(pipeline.os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert engine_threads() == wanted


def test_the_feed_says_when_nothing_comes_and_stops_when_told(small_bundle):
    stopping, waiting = threading.Event(), threading.Event()

    def silent():
        yield Began("a")
        waiting.wait(20)

    feed = feed_of(Given(silent(), live=True), small_bundle, stopping)
    items = iter(feed)
    assert isinstance(next(items), Began)
    assert next(items) is None
    stopping.set()
    assert list(items) == []
    waiting.set()
    feed.close()


def test_a_slow_engine_leaves_whole_lines_of_a_live_camera(small_bundle, tmp_path, monkeypatch):
    """Frames that were skipped have their line, and what is seen of the others is as good."""
    path = record(tmp_path / "clip.npy", 60, noisy=(), flash=-1)
    shots = [Shot(f, time.time(), time.monotonic()) for f in open_source(path)]

    def paced():
        yield Began("west")
        for one in shots:
            time.sleep(0.01)
            yield one

    real = OnnxEngine.run

    def slow(self, image):
        time.sleep(0.025)
        return real(self, image)

    monkeypatch.setattr(OnnxEngine, "run", slow)
    monkeypatch.setattr(daemon, "open_camera", lambda *_: Given(paced(), live=True))
    summary = run(load_config(config(tmp_path, small_bundle)), threading.Event())
    found = lines(tmp_path)
    assert [line["frame"] for line in found] == list(range(60))
    skipped = [line["frame"] for line in found if line.get("reason") == "skipped"]
    assert summary.frames == 60
    assert summary.skipped == summary.warming["skipped"] == len(skipped) > 20
    seen = [line for line in found if line["status"] == "ok"]
    assert len(seen) > 10
    assert sum(bool(line["detections"]) for line in seen) > 0.8 * len(seen)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda i: shot(i), ""),
        (lambda i: shot(i, late=5.0), "gap"),
        (lambda i: shot(i, "gain" if i == 34 else ""), "gain"),
        (lambda i: shot(i, shape=(40, 80)), "size"),
    ],
    ids=["whole", "gap", "gain", "size"],
)
def test_suspects_have_all_frames_around_however_many_were_skipped_and_none_from_beyond_a_break(
    small_bundle, tmp_path, monkeypatch, broken, reason
):
    """Frame by frame up to 30; while the engine is busy with that, all others come: it sees the next, perhaps, and the last."""
    looked, burst, busy = threading.Semaphore(0), threading.Event(), threading.Event()

    def paced():
        yield Began("west")
        for i in range(30):
            yield shot(i)
            looked.acquire(timeout=20)
        burst.set()
        yield shot(30)
        busy.wait(20)
        yield shot(31)
        time.sleep(0.1)  # it is prepared meanwhile
        yield from (shot(i) if i < 34 else broken(i) for i in range(32, 70))

    real = OnnxEngine.run

    def slow(self, image):
        if burst.is_set():
            busy.set()
            time.sleep(0.5)
        return real(self, image)

    monkeypatch.setattr(OnnxEngine, "run", slow)
    monkeypatch.setattr(writer, "MOST_WAITING", 1000)
    monkeypatch.setattr(daemon, "open_camera", lambda *_: Given(paced(), live=True))
    sample = {"suspects.sample_probability": 1.0, "suspects.sample_per_day": 10**5, "suspects.sample_mb_per_day": 10**6}
    path = config(tmp_path, small_bundle, **{**sample, "suspects.before": 12, "upload.url": ""})
    summary = run(load_config(path), threading.Event(), lambda _: looked.release())
    judged = [line["frame"] for line in lines(tmp_path) if line["status"] == "ok"]
    assert judged[-1] == 69
    assert summary.skipped > 30
    assert summary.suspects["sample"] + summary.dropped["sample"] == len(judged)
    logs = {
        log.description["verdict"]["frame"]: log
        for log in map(read_log, (tmp_path / "edge-out/spool").glob("*-sample-*"))
    }
    assert {30, 69} <= set(logs)
    for frame, log in logs.items():
        begin, end = (34, 70) if reason and frame >= 34 else (0, 34 if reason else 70)
        assert log.description["frames"]["indices"] == list(range(max(frame - 12, begin), min(frame + 6, end)))


SLOW = """
import signal, sys, tempfile
from pathlib import Path
import numpy as np, onnx
from onnx import TensorProto, helper
from irdim.command_line import start
from irdim.engines.onnx import OnnxEngine

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
# one call into ONNX Runtime that lasts: only there does the interpreter's end meet a thread that it cannot stop
side = helper.make_tensor_value_info("a", TensorProto.FLOAT, [2000, 2000])
nodes = [helper.make_node("MatMul", [f"{'abcdefgh'[i]}", "a"], ["abcdefghi"[i + 1]]) for i in range(8)]
out = helper.make_tensor_value_info("i", TensorProto.FLOAT, [2000, 2000])
graph = helper.make_graph(nodes, "slow", [side], [out])
path = Path(tempfile.mkdtemp()) / "slow.onnx"
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
slow = OnnxEngine(path, threads=1)._session
real, matrix = OnnxEngine.run, np.zeros((2000, 2000), np.float32)

def run(self, image):
    if len(sys.argv) > 2 and Path("go").exists():
        Path("inside").touch()
        slow.run(None, {"a": matrix})
    return real(self, image)

OnnxEngine.run = run
start("irdim_edge.cli")
"""


@pytest.mark.parametrize(
    ("words", "number", "code"),
    [(["run", "edge.toml"], signal.SIGTERM, 0), (["bench", "--size", "160x128"], signal.SIGINT, 130)],
)
def test_an_engine_in_the_middle_of_a_run_is_waited_for_at_the_end(small_bundle, tmp_path, words, number, code):
    record(tmp_path / "clip.npy", 200, noisy=(), flash=-1)
    config(tmp_path, small_bundle)
    (tmp_path / "go").touch()
    command = [sys.executable, "-c", SLOW, *words]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for((tmp_path / "inside").exists)
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == code, said
    assert "terminate" not in said
