"""status.json: what a run writes of itself, and what others read out of it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_daemon import EDGE, config, record, wait_for

from irdim.errors import InputError
from irdim_edge.config import load_config
from irdim_edge.daemon import run
from irdim_edge.status import Summary, read_status, status_rows
from irdim_edge.tracks_command import newest_run

HEALTHCHECK = Path(__file__).resolve().parents[2] / "deploy/healthcheck.py"


def test_what_is_being_written_does_not_change_while_frames_are_counted(tmp_path):
    """The writer's thread writes it, the server's threads answer with it, the main thread counts on."""
    summary = Summary("mast-3", "west")
    summary.warming["history"] = 1
    said = summary.to_json()
    for reason in ("gap", "size"):
        summary.warming[reason] += 1
    summary.verdicts["missed"] += 1
    assert (said["warming"], said["verdicts"]) == ({"history": 1}, {})
    summary.save(tmp_path)
    assert json.loads((tmp_path / "status.json").read_text())["warming"] == {"history": 1, "gap": 1, "size": 1}


def test_a_start_that_fails_says_why_in_the_status_and_leaves_nothing_else(small_bundle, tmp_path):
    """Whoever looks may not see what the service manager's journal says; it starts it again every few seconds."""
    record(tmp_path / "clip.npy", 20)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = load_config(config(tmp_path, small_bundle, **{"serve.port": other.getsockname()[1]}))
        for _ in range(2):
            with pytest.raises(InputError, match="cannot be listened on"):
                run(settings, threading.Event())
    found = read_status(tmp_path / "edge-out")
    assert (found["state"], found["device"], found["frames"], found["errors"]) == ("failed", "mast-3", 0, 1)
    assert "cannot be listened on" in dict(status_rows(found))["errors"]
    assert list((tmp_path / "edge-out").glob("*-*.jsonl")) == []


def test_a_start_that_fails_is_not_taken_for_the_run_before_it(small_bundle, tmp_path):
    record(tmp_path / "clip.npy", 20)
    shutil.copytree(small_bundle, tmp_path / "bundle")
    settings = load_config(config(tmp_path, tmp_path / "bundle"))
    run(settings, threading.Event())
    assert newest_run(tmp_path / "edge-out").frames == 20
    shutil.rmtree(tmp_path / "bundle")
    with pytest.raises(InputError, match="there is no bundle"):
        run(settings, threading.Event())
    assert read_status(tmp_path / "edge-out")["state"] == "failed"
    assert newest_run(tmp_path / "edge-out").frames == 0
    shutil.copytree(small_bundle, tmp_path / "bundle")
    assert run(settings, threading.Event()).first_part == 2
    assert read_status(tmp_path / "edge-out")["state"] == "finished"


def test_a_process_that_hangs_is_not_healthy(small_bundle, tmp_path):
    """What the image's health check says."""

    def health() -> tuple[int, str]:
        done = subprocess.run([sys.executable, HEALTHCHECK, tmp_path], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    assert health() == (1, f"{tmp_path}: no configuration\n")
    record(tmp_path / "clip.npy", 2000)
    path = config(tmp_path, small_bundle, **{"camera.rate": 25.0, "upload.url": ""})
    assert "no status" in health()[1]
    with subprocess.Popen([*EDGE, "run", str(path)], stdout=subprocess.DEVNULL) as process:
        try:
            file = tmp_path / "edge-out/status.json"
            wait_for(lambda: file.exists() and json.loads(file.read_text())["frames"] > 0)
            assert health() == (0, "")
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            status = json.loads(file.read_text())
            file.write_text(json.dumps({**status, "updated": "2026-03-04T05:06:07+00:00"}))
            assert health() == (1, f"{path}: says nothing since 2026-03-04T05:06:07+00:00\n")
        finally:
            process.kill()
    assert health()[0] == 1
    assert "killed" in health()[1]
