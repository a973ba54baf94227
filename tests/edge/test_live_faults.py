"""The running daemon on a live camera that does what cameras do: each fault is said, and it recovers by itself.

Where detections are counted it runs the bundle that ships: the small one of the tests has not seen a sky with texture.
"""

import json
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
from streams import RATE, needs_gstreamer, pipeline, scene
from test_daemon import EDGE, config, lines, place, wait_for

from irdim_edge.config import STARTER_FOLDER, load_config
from irdim_edge.daemon import run
from irdim_edge.status import Summary, read_status

HISTORY = 12  # frames before the first stack of the bundle that ships


def live_config(folder, bundle, stream: str, **more):
    return config(
        folder, bundle, **{"camera.stream": f"gst:{stream}", "camera.paths": ["none"], "upload.url": "", **more}
    )


def run_live(folder, bundle, frames: np.ndarray, **more) -> tuple[Summary, list[dict]]:
    """The daemon on frames that a pipeline plays once at 25 a second; ends with the first stream. Its lines, by frame."""
    stream = pipeline(folder / "scene.y16", frames)
    stopping = threading.Event()

    def show(summary: Summary) -> None:
        if summary.sources > 1:
            stopping.set()

    summary = run(load_config(live_config(folder, bundle, stream, **more)), stopping, show)
    found = lines(folder)
    first = found[0]["source"]
    return summary, [line for line in found if line["source"] == first]


def found_at(line: dict, t: int) -> bool:
    return any(np.hypot(d["x"] - place(t)[0], d["y"] - place(t)[1]) < 2 for d in line["detections"])


def elsewhere(line: dict, t: int) -> int:
    return sum(np.hypot(d["x"] - place(t)[0], d["y"] - place(t)[1]) >= 4 for d in line["detections"])


@pytest.fixture
def gstreamer() -> None:
    needs_gstreamer()


def test_a_live_camera_is_watched_as_a_recording_is(gstreamer, tmp_path):
    summary, found = run_live(tmp_path, STARTER_FOLDER, scene(70))
    assert [line["frame"] for line in found] == list(range(70))
    ok = [line for line in found if line["status"] == "ok"]
    assert len(ok) + summary.skipped >= 70 - HISTORY
    assert sum(found_at(line, line["frame"]) for line in ok) > 0.8 * len(ok)
    assert summary.tracks >= 1
    assert found[0]["utc"].endswith("Z")
    assert found[0]["source"].startswith("west-20")
    (track,) = found[58]["tracks"]  # it turns round on frame 60
    assert np.hypot(track["x"] - place(track["seen"])[0], track["y"] - place(track["seen"])[1]) < 3
    assert not track["still"]
    assert 0 < summary.milliseconds["latency"]["p50"] < 1000


def test_shutter_and_gain_cost_the_history_and_raise_no_alarm(gstreamer, tmp_path):
    frames = scene(120)
    frames[30:40] = 2600 + np.random.default_rng(3).normal(0, 12, (10, 96, 120))
    frames[80:] = 2500 + (frames[80:] - 2500) * 1.3
    summary, found = run_live(tmp_path, STARTER_FOLDER, frames)
    assert summary.camera_counts["shutter"] == 11
    assert summary.camera_counts["gain"] == 1
    reasons = {line["frame"]: line.get("reason") for line in found}
    assert all(reasons[t] in ("shutter", "skipped") for t in range(30, 41))
    assert all(reasons[t] in ("gain", "skipped") for t in range(80, 80 + HISTORY))
    assert sum(elsewhere(line, line["frame"]) for line in found) <= 2
    for first, last in ((55, 80), (95, 120)):
        looked = [line for line in found if first <= line["frame"] < last and line["status"] == "ok"]
        assert sum(found_at(line, line["frame"]) for line in looked) > 0.7 * len(looked) > 0


def test_dead_rows_black_and_saturated_scenes_raise_no_alarm(gstreamer, tmp_path):
    frames = scene(100)
    frames[:, 70:72] = 0
    frames[40:50] = 0
    frames[60:70] = 16383
    frames[60:70, 0, 0] = range(10)  # the same picture twice would be a repetition
    summary, found = run_live(tmp_path, STARTER_FOLDER, frames)
    assert summary.camera_counts["repeated"] == 9  # the black ones
    assert summary.camera_counts["saturated"] == 10
    assert sum(elsewhere(line, round(line["time"] * RATE)) for line in found) <= 5  # repetitions are not numbered
    looked = [line for line in found if line["frame"] < 40 and line["status"] == "ok"]
    assert sum(found_at(line, line["frame"]) for line in looked) > 0.7 * len(looked) > 0


def test_a_hanging_camera_is_opened_again_while_the_daemon_goes_on(gstreamer, small_bundle, tmp_path):
    frames = np.concatenate([scene(30), np.repeat(scene(1, seed=9), 10 * RATE, axis=0)])
    path = live_config(tmp_path, small_bundle, pipeline(tmp_path / "scene.y16", frames), **{"camera.stuck": 1.0})
    process = subprocess.Popen([*EDGE, "run", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: _status(tmp_path).get("sources", 0) >= 2 and _status(tmp_path)["frames"] > 50, 60)
        status = _status(tmp_path)
        assert status["camera_counts"]["reconnected"] >= 1
        assert status["camera_counts"]["repeated"] > 10
    finally:
        process.send_signal(signal.SIGTERM)
        _, journal = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "the same picture for 1 s: the camera hangs" in journal
    assert read_status(tmp_path / "edge-out")["state"] == "stopped"


def test_a_camera_that_is_not_there_is_waited_for_and_a_stop_is_heard(gstreamer, small_bundle, tmp_path):
    path = config(tmp_path, small_bundle, **{"camera.stream": "v4l2:/dev/video77", "upload.url": ""})
    process = subprocess.Popen([*EDGE, "run", str(path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: "v4l2src" in _status(tmp_path).get("camera_trouble", ""), 60)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    answer, _ = process.communicate(timeout=20)
    assert time.monotonic() - began < 4
    assert (process.returncode, json.loads(answer)["state"]) == (0, "stopped")


def test_another_size_begins_anew(gstreamer, small_bundle, tmp_path):
    part = "videotestsrc is-live=true pattern=snow num-buffers={} ! video/x-raw,format=GRAY16_LE,width={},height=96,framerate=25/1 ! c."
    text = f"{part.format(20, 120)} {part.format(30, 160)} concat name=c ! appsink sync=false"
    stopping = threading.Event()

    def show(summary: Summary) -> None:
        if summary.sources > 1:
            stopping.set()

    summary = run(load_config(live_config(tmp_path, small_bundle, text)), stopping, show)
    assert summary.warming["size"] > 0
    first = [line for line in lines(tmp_path) if line["source"] == lines(tmp_path)[0]["source"]]
    assert len(first) == 50
    assert first[-1]["status"] == "ok"


def _status(folder) -> dict:
    try:
        return json.loads((folder / "edge-out/status.json").read_text())
    except (OSError, ValueError):
        return {}
