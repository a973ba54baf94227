"""irdim-edge record: lossless, timed, whole after a kill, and taken by irdim-train import."""

import json
import shutil
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
from streams import counts, needs_gstreamer, pipeline, scene
from test_daemon import EDGE, config, wait_for
from test_pipeline import Given

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.sources import Frame, open_source
from irdim_edge import recording
from irdim_edge.cameras import Began, Live, Shot
from irdim_edge.cameras.drivers import open_driver
from irdim_edge.handover import MOST_WAITING
from irdim_edge.recording import finish_left, record


def shots(frames: np.ndarray, times) -> list[Shot]:
    return [Shot(Frame(i, float(t), f), 0.0, float(t)) for i, (f, t) in enumerate(zip(frames, times, strict=True))]


def recorded(folder) -> dict[str, list[Frame]]:
    """Frames of each sequence of a folder, by name."""
    return {p.stem: list(open_source(p)) for p in sorted(folder.iterdir()) if p.suffix in (".y16", ".raw")}


def make(camera, out, **more):
    return record(camera, out, stopping=threading.Event(), keep_free=0, **more)


def test_a_camera_is_recorded_count_by_count(tmp_path):
    needs_gstreamer()
    frames = scene(30)
    stream = f"gst:{pipeline(tmp_path / 'scene.y16', frames, 50)}"
    command = [*EDGE, "record", stream, str(tmp_path / "out"), "--frames", "30", "--name", "west", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["frames"], answer["state"], len(answer["parts"])) == (30, "finished", 1)
    (found,) = recorded(tmp_path / "out").values()
    assert np.array_equal(np.stack([f.pixels for f in found]), counts(frames))
    assert np.diff([f.time for f in found]) == pytest.approx(0.02, abs=1e-6)
    command = ["import", str(tmp_path / "out"), "--out", str(tmp_path / "data")]
    from irdim_train.cli import app

    app(command, standalone_mode=False)
    with Dataset.open(tmp_path / "data") as data:
        (sequence,) = data.sequences()
        assert (sequence.length, sequence.name[:7]) == (30, "west-20")
        assert sequence.interval == pytest.approx(0.02)


def test_the_camera_of_a_configuration_is_recorded_whole_and_under_its_own_name(small_bundle, tmp_path):
    needs_gstreamer()
    frames = scene(30)
    stream = f"gst:{pipeline(tmp_path / 'scene.y16', frames, 50)}"
    more = {"camera.stream": stream, "camera.step": 2, "camera.name": "east", "camera.conditions": False}
    command = [*EDGE, "record", str(config(tmp_path, small_bundle, **more)), str(tmp_path / "out"), "--frames", "30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ((name, found),) = recorded(tmp_path / "out").items()
    assert name.startswith("east-20")
    assert np.array_equal(np.stack([f.pixels for f in found]), counts(frames))


def test_a_name_beside_a_configuration_is_refused(small_bundle, tmp_path):
    command = [*EDGE, "record", str(config(tmp_path, small_bundle)), str(tmp_path / "out"), "--name", "west"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n"), (tmp_path / "out").exists()) == (2, 1, False), done.stderr
    assert "--name west: the camera of a configuration has its name there (camera.name)" in done.stderr


def test_a_new_part_begins_with_the_stream_the_size_the_clock_and_the_length(tmp_path):
    frames = counts(scene(40))
    wide = np.concatenate([frames, frames], axis=2)
    items = [Began("a"), *shots(frames[:10], np.arange(10) / 10), *shots(wide[10:15], 1 + np.arange(5) / 10)]
    items += [*shots(wide[15:20], np.arange(5) / 10), Began("b"), *shots(frames[:8], np.arange(8) / 10)]
    result = make(Given(items, live=False), tmp_path, part_seconds=0.65)
    found = recorded(tmp_path)
    assert {name: len(fs) for name, fs in found.items()} == {
        "a-001": 7, "a-002": 3, "a-003": 5, "a-004": 5, "b-001": 7, "b-002": 1,
    }  # fmt: skip
    assert [f.time for f in found["a-002"]] == pytest.approx([0.7, 0.8, 0.9])
    assert found["a-003"][0].pixels.shape == (96, 240)
    assert result.frames == 28
    assert not list(tmp_path.glob(".*partial"))


def test_eight_bits_stay_eight_bits(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 20, 30)).astype(np.uint8)
    make(Given([Began("a"), *shots(frames, range(5))], live=False), tmp_path)
    (found,) = recorded(tmp_path).values()
    assert np.array_equal(np.stack([f.pixels for f in found]), frames)
    assert found[0].pixels.dtype == np.uint8


def test_seconds_count_by_the_camera(tmp_path):
    camera = Given([Began("a"), *shots(counts(scene(30)), np.arange(30) / 10)], live=False)
    assert make(camera, tmp_path, seconds=1.95).frames == 20


def test_what_a_kill_left_is_finished_by_the_next(tmp_path):
    needs_gstreamer()
    stream = f"gst:{pipeline(tmp_path / 'scene.y16', scene(400), 50)}"
    command = [*EDGE, "record", stream, str(tmp_path / "out"), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: any(p.stat().st_size > 2_000_000 for p in (tmp_path / "out").glob(".*partial/frames")), 60)
    process.kill()
    process.wait()
    assert recorded(tmp_path / "out") == {}
    done = subprocess.run([*command[:-1], "--frames", "3", "--json"], capture_output=True, text=True, timeout=60)
    answer = json.loads(done.stdout)
    assert (len(answer["finished"]), len(answer["parts"])) == (1, 1)
    found = recorded(tmp_path / "out")
    first = next(frames for name, frames in found.items() if f"{name}.y16" == answer["finished"][0])
    assert len(first) > 60
    assert np.array_equal(np.stack([f.pixels for f in first]), counts(scene(400))[: len(first)])


def test_a_torn_part_is_cut_to_its_whole_frames(tmp_path):
    make(Given([Began("a"), *shots(counts(scene(6)), range(6))], live=False), tmp_path)
    partial = tmp_path / ".b-001.partial"
    partial.mkdir()
    shutil.copy(tmp_path / "a-001.json", partial / "shape.json")
    (partial / "frames").write_bytes((tmp_path / "a-001.y16").read_bytes()[:-7])
    (partial / "times").write_bytes(np.arange(6.0).tobytes()[:-3])
    (tmp_path / ".c-001.partial").mkdir()  # killed before its first frame
    assert [p.name for p in finish_left(tmp_path)] == ["b-001.y16"]
    assert [f.time for f in recorded(tmp_path)["b-001"]] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert not list(tmp_path.glob(".*partial"))


def test_ctrl_c_finishes_the_part(tmp_path):
    needs_gstreamer()
    stream = f"gst:{pipeline(tmp_path / 'scene.y16', scene(400), 50)}"
    command = [*EDGE, "record", stream, str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any(p.stat().st_size > 500_000 for p in (tmp_path / "out").glob(".*partial/frames")), 60)
    process.send_signal(signal.SIGINT)
    answer, error = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in error) == (0, False)
    assert "next: irdim-train import" in answer
    (found,) = recorded(tmp_path / "out").values()
    assert len(found) >= 20


def test_two_recordings_in_one_folder_and_bad_places_are_refused(tmp_path):
    waiting = threading.Event()

    def endless():
        yield Began("a")
        yield from shots(counts(scene(3)), range(3))
        waiting.wait(20)

    stopping = threading.Event()
    first = threading.Thread(
        target=record,
        args=(Given(endless(), live=True), tmp_path / "out"),
        kwargs={"stopping": stopping, "keep_free": 0},
    )
    first.start()
    wait_for(lambda: any((tmp_path / "out").glob(".*partial")))
    with pytest.raises(InputError, match="another recording"):
        make(Given([], live=False), tmp_path / "out")
    waiting.set()
    stopping.set()
    first.join()
    assert len(recorded(tmp_path / "out")) == 1
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        make(Given([], live=False), tmp_path / "file")
    with pytest.raises(InputError, match="MB are left on the disk"):
        record(
            Given([Began("a"), *shots(counts(scene(3)), range(3))], live=False),
            tmp_path / "out",
            stopping=threading.Event(),
            keep_free=1 << 60,
        )


def test_what_the_camera_raises_comes_after_its_frames(tmp_path):
    def broken():
        yield Began("a")
        yield from shots(counts(scene(5)), range(5))
        raise InputError("frame 5 is broken")

    with pytest.raises(InputError, match="frame 5"):
        make(Given(broken(), live=False), tmp_path)
    assert {name: len(found) for name, found in recorded(tmp_path).items()} == {"a-001": 5}


def test_frames_that_the_disk_had_no_time_for_are_counted_with_the_camera(tmp_path, monkeypatch):
    """The first is written until all others are there."""
    writing, write = threading.Event(), recording._Parts.write

    def fast():
        first, *others = shots(counts(scene(1).repeat(81, axis=0)), range(81))
        yield from (Began("a"), first)
        assert writing.wait(20)
        yield from others

    def slow(*arguments):
        writing.set()
        assert camera.given.wait(20)
        write(*arguments)

    camera = Given(fast(), live=True)
    monkeypatch.setattr(recording._Parts, "write", slow)
    result = make(camera, tmp_path)
    assert (result.frames, result.overrun, camera.counts["overrun"]) == (1 + MOST_WAITING, 16, 16)


def test_no_frame_is_an_error(tmp_path):
    needs_gstreamer()
    process = subprocess.Popen(
        [*EDGE, "record", "v4l2:/dev/video77", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and not (tmp_path / "out").exists():
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "no frame came (v4l2src" in error


def test_a_camera_that_never_answers_is_not_waited_for_beyond_the_seconds(tmp_path, monkeypatch):
    needs_gstreamer()
    monkeypatch.setattr(recording, "GRACE", 1.0)
    camera, begun = Live("west", open_driver("v4l2:/dev/none")), time.monotonic()
    assert make(camera, tmp_path / "out", seconds=1.0).frames == 0
    assert 1.5 < time.monotonic() - begun < 20
