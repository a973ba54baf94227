"""SIGHUP and a changed configuration: the same process begins anew with it, or goes on as it was."""

import json
import signal
import subprocess
import time

import pytest
from streams import needs_gstreamer
from test_daemon import EDGE, config, lines, record, wait_for

LIVE = "gst:videotestsrc is-live=true pattern=snow ! video/x-raw,format=GRAY16_LE,width=120,height=96,framerate=25/1 ! appsink"


@pytest.fixture
def start():
    """Start a daemon with its journal in a file; killed at the end."""
    started = []

    def begin(path):
        with (path.parent / "journal").open("w") as journal, (path.parent / "answer").open("w") as answer:
            started.append(subprocess.Popen([*EDGE, "run", str(path), "--json"], stdout=answer, stderr=journal))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def said(folder) -> str:
    return (folder / "journal").read_text()


def state(folder) -> dict:
    try:
        return json.loads((folder / "edge-out/status.json").read_text())
    except FileNotFoundError:
        return {}


def test_a_changed_configuration_is_taken_over_by_the_same_process(start, small_bundle, tmp_path):
    needs_gstreamer()
    live = {"camera.stream": LIVE, "camera.paths": ["none"], "upload.url": ""}
    process = start(config(tmp_path, small_bundle, **live))
    wait_for(lambda: state(tmp_path).get("frames", 0) > 20)

    path = config(tmp_path, small_bundle, **live)
    text = path.read_text()
    path.write_text(text.replace("[tracker]", "[trakcer]"))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "not taken over" in said(tmp_path))
    assert "trakcer" in said(tmp_path)
    frames = state(tmp_path)["frames"]
    wait_for(lambda: state(tmp_path)["frames"] > frames + 20)

    path.write_text(text)
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "unchanged" in said(tmp_path))
    assert "beginning anew" not in said(tmp_path)

    config(tmp_path, small_bundle, **live, **{"camera.masks": [[[0, 0], [119, 0], [119, 95], [0, 95]]]})
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "beginning anew" in said(tmp_path))
    end = time.monotonic() + 60
    while not (tmp_path / "edge-out/detections-0002.jsonl").exists():  # impatience ends nothing
        assert time.monotonic() < end
        process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
        assert process.poll() is None
    wait_for(lambda: state(tmp_path)["state"] == "running" and state(tmp_path)["frames"] > 20)
    assert state(tmp_path)["pid"] == process.pid
    assert [line["frame"] for line in lines(tmp_path)] == list(range(len(lines(tmp_path))))  # the last one whole
    assert not any(line["detections"] for line in lines(tmp_path, part=2)[:20])

    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    assert process.wait(timeout=20) == 0
    assert time.monotonic() - begun < 10
    assert json.loads((tmp_path / "answer").read_text())["state"] == "stopped"


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "absent.key"},
        {"serve.port": 9, "serve.token_file": "absent"},
        {"output.mqtt": "mqtts://broker/sky", "output.mqtt_ca": "absent.pem"},
        {"spool.path": "a\u0000b"},
    ],
)
def test_what_a_run_could_not_begin_with_is_not_taken_over(start, small_bundle, tmp_path, wrong):
    needs_gstreamer()
    live = {"camera.stream": LIVE, "camera.paths": ["none"], "upload.url": ""}
    process = start(config(tmp_path, small_bundle, **live))
    wait_for(lambda: state(tmp_path).get("frames", 0) > 5)
    config(tmp_path, small_bundle, **live, **wrong)
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "not taken over" in said(tmp_path))
    frames = state(tmp_path)["frames"]
    wait_for(lambda: state(tmp_path)["frames"] > frames + 20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_a_recording_is_not_begun_anew(start, small_bundle, tmp_path):
    record(tmp_path / "clip.npy", 250)  # ten seconds: time enough for a busy machine
    process = start(config(tmp_path, small_bundle, **{"camera.rate": 25.0}))
    wait_for(lambda: state(tmp_path).get("frames", 0) > 10)
    config(tmp_path, small_bundle, **{"camera.rate": 25.0, "tracker.confirm_hits": 2})
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0
    assert "counts from the next start" in said(tmp_path)
    assert [line["frame"] for line in lines(tmp_path)] == list(range(250))
