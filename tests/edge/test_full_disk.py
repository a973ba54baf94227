"""A disk that fills up under the running daemon, and has room again."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from test_daemon import EDGE, config, record, wait_for
from test_serving import free_port, get


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here (not root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_costs_lines_not_frames_and_writing_goes_on_when_there_is_room(small_bundle, small_disk, tmp_path):
    record(tmp_path / "clip.npy", 1000)
    port = free_port()
    more = {"out": str(small_disk / "out"), "camera.rate": 100.0, "serve.port": port, "upload.url": ""}
    more |= {f"suspects.{kind}_per_day": 0 for kind in ("missed", "false_alarm", "still")}  # the disk is for the lines
    process = subprocess.Popen(
        [*EDGE, "run", str(config(tmp_path, small_bundle, **more))], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )

    def status() -> dict:
        try:
            return json.loads(get(f"http://127.0.0.1:{port}/status")[1])
        except OSError:
            return {"frames": 0, "errors": 0}

    try:
        wait_for(lambda: status()["frames"] > 30, 60)
        fill(small_disk / "filler")
        wait_for(lambda: status()["errors"] > 0, 60)
        full_at = status()["frames"]
        assert "No space left" in status()["last_error"]
        wait_for(lambda: status()["frames"] > full_at + 20, 60)
        (small_disk / "filler").unlink()
        freed_at = status()["frames"]
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    error = re.sub(rb".* WARNING the input step runs in NumPy.*\n", b"", error)  # where there is no C compiler
    assert error.count(b"\n") == error.count(b" INFO bundle ") == 1, error
    found = [json.loads(line) for line in (small_disk / "out/detections-0001.jsonl").read_text().splitlines()]
    frames = [line["frame"] for line in found]
    assert frames == sorted(set(frames))
    assert frames[:30] == list(range(30))
    assert sum(freed_at < frame for frame in frames) > 0.9 * (999 - freed_at) > 0
    kept = json.loads((small_disk / "out/status.json").read_text())
    assert (kept["frames"], kept["state"]) == (1000, "finished")


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                file.write(os.urandom(4096))
            except OSError:
                return
