import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from irdim.bundle import Bundle
from irdim.dataset import digest_of
from irdim.detector import Detector
from irdim.errors import InputError
from irdim.fieldlog import FieldLog, read_any, read_log, read_tally
from irdim.sources import open_source
from irdim.tracks import VERDICTS, Tracker, TrackerOptions
from irdim_edge.cameras import Shot, open_replay
from irdim_edge.config import commented_config, load_config
from irdim_edge.daemon import run
from irdim_edge.spool import Bounds, Spool
from irdim_edge.status import read_status
from irdim_edge.suspects import verdict_json

EDGE = [sys.executable, "-m", "irdim_edge"]


PLAIN = {"suspects.merge_seconds": 0, "suspects.low_confidence_per_day": 0, "suspects.sample_probability": 0}


def record(
    path: Path, length: int = 60, noisy: tuple[int, ...] = (30,), flash: int = 58, pause: int | None = None
) -> Path:
    """A stack (T, 96, 120) uint16: a moving target that drowns in noise on `noisy`, and a spot that is there only on `flash`.

    (A target that vanished would leave a dark place in the differences, which a small network takes for it; so would the spot, but with a
    frame step of 2 not on the very next frame.)
    """
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:96, :120] + 0.5
    frames = np.empty((length, 96, 120))
    for t in range(length):
        frames[t] = 1000 + rng.normal(0, 150 if t in noisy else 12, (96, 120))
        frames[t] += 140 * np.exp(-((x - place(t)[0]) ** 2 + (y - place(t)[1]) ** 2) / 3.4)
        if t == flash:
            frames[t] += 140 * np.exp(-((x - 100) ** 2 + (y - 20) ** 2) / 3.4)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.rint(frames.clip(0)).astype(np.uint16))
    times = np.arange(length) / 25 + (np.arange(length) >= pause if pause is not None else 0)
    np.save(path.with_name(f"{path.stem}.times.npy"), times)
    return path


def place(t: int) -> tuple[float, float]:
    """Where the target is on frame t: it goes back and forth, 0.6 px a frame."""
    along = abs((t + 60) % 120 - 60)
    return 30 + 0.5 * along, 40.0 + 0.3 * along


def config(folder: Path, bundle: Path, **more) -> Path:
    values = {"device": "mast-3", "bundle": str(bundle), "camera.name": "west", "camera.paths": ["clip.npy"]}
    values |= {"camera.rate": "flat-out", "upload.url": "depot", "threads": 1, **PLAIN, **more}
    path = folder / "edge.toml"
    path.write_text(commented_config(values))
    return path


def lines(folder: Path, name: str = "detections", part: int = 1) -> list[dict]:
    return [json.loads(line) for line in (folder / f"edge-out/{name}-{part:04d}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def ran(small_bundle, tmp_path_factory):
    """One whole run, to look at."""
    folder = tmp_path_factory.mktemp("ran")
    record(folder / "clip.npy")
    summary = run(load_config(config(folder, small_bundle)), threading.Event())
    return folder, summary


def expected(bundle: Path, path: Path) -> tuple[list, list]:
    """Steps of the detector alone, and the tracker's verdicts on them."""
    loaded = Bundle.load(bundle)
    detector = Detector.from_bundle(loaded, threads=1)
    steps = [detector.push(frame) for frame in open_source(path)]
    tracker, verdicts = Tracker(TrackerOptions(report=loaded.card.thresholds.report)), []
    for s in steps:
        if s.status == "ok":
            verdicts += tracker.update(s.frame.index, s.frame.time, s.detections, s.shift)
    return steps, verdicts + tracker.flush()


def test_every_frame_has_a_line_with_what_the_detector_finds(ran, small_bundle):
    folder, summary = ran
    steps, _ = expected(small_bundle, folder / "clip.npy")
    report = Bundle.load(small_bundle).card.thresholds.report
    found = lines(folder)
    assert [line["frame"] for line in found] == list(range(60))
    for line, step in zip(found, steps, strict=True):
        assert (line["v"], line["source"], line["time"]) == (1, "clip", step.frame.time)
        assert line["status"] == step.status
        shown = [(d["x"], d["y"], d["score"], d["label"]) for d in line["detections"]]
        strong = [d for d in step.detections if d.score >= report]
        assert shown == [(round(d.x, 3), round(d.y, 3), round(d.score, 5), d.label) for d in strong]
    assert (summary.frames, dict(summary.warming), summary.state) == (60, {"history": 6}, "finished")
    assert summary.detections == sum(len(line["detections"]) for line in found) > 30
    assert summary.tracks >= 1


def test_live_verdicts_are_those_of_the_recording(ran, small_bundle):
    folder, _ = ran
    _, verdicts = expected(small_bundle, folder / "clip.npy")
    own = ("v", "source", "log", "why")
    shown = [{k: v for k, v in line.items() if k not in own} for line in lines(folder, "verdicts")]
    assert shown == [verdict_json(v) for v in verdicts]
    assert {(v.kind, v.frame) for v in verdicts} >= {("missed", 30), ("false_alarm", 58)}


def arrived(folder: Path) -> list[FieldLog]:
    """Suspects at the destination, without the tally."""
    return [read_log(p) for p in sorted((folder / "depot").iterdir()) if "-tally-" not in p.name]


def test_suspects_arrive_with_the_lossless_frames_and_their_history(ran, small_bundle):
    folder, summary = ran
    logs = arrived(folder)
    assert (
        len(logs)
        == summary.uploaded - 1
        == sum(summary.suspects.values())
        == sum(summary.verdicts[kind] for kind in VERDICTS)
    )
    assert summary.waiting == 0
    stack = np.load(folder / "clip.npy")
    history = Bundle.load(small_bundle).card.input.history
    for log in logs:
        d = log.description
        assert np.array_equal(log.frames, stack[d["frames"]["indices"]])
        assert log.index == history - 1
        assert (d["device"], d["camera"], d["source"]) == ("mast-3", "west", "clip")
        assert d["bundle"] == Bundle.load(small_bundle).digest
        assert d["interval"] == pytest.approx(0.04)
        assert d["source_digest"] == digest_of(np.load(folder / "clip.npy"))
        assert d["camera_state"] == {"replayed": "flat-out", "every_nth_frame": 1}
    missed = next(log for log in logs if log.kind == "missed" and log.description["verdict"]["frame"] == 30)
    assert missed.place[:2] == pytest.approx(place(30), abs=4)


def test_the_tally_says_what_the_run_did(ran, small_bundle):
    folder, summary = ran
    (path,) = (folder / "depot").glob("*-tally-*")
    tally = read_tally(path).tally
    assert (tally.device, tally.camera, tally.bundle) == ("mast-3", "west", Bundle.load(small_bundle).digest)
    assert (tally.frames, tally.warming, tally.detections) == (60, {"history": 6}, summary.detections)
    assert tally.tracks == summary.tracks
    assert {k: c["logged"] for k, c in tally.suspects.items() if c["logged"]} == dict(summary.suspects)
    assert {name: sum(h["counts"]) for name, h in tally.inputs.items()} == dict.fromkeys(tally.inputs, 1)
    sigma = tally.inputs["sigma_frame"]
    at = sigma["counts"].index(1)
    assert sigma["edges"][at] < 12.0 * 1.1
    assert sigma["edges"][at + 1] > 12.0 * 0.9
    assert not (folder / "edge-out/tally.json").exists()


def test_the_detector_finds_the_suspect_frame_in_the_log_again(ran, small_bundle):
    folder, _ = ran
    log = next(read_log(p) for p in (folder / "depot").iterdir() if "false_alarm" in p.name)
    detector = Detector.from_bundle(Bundle.load(small_bundle), threads=1)
    from irdim.sources import Frame

    times = log.description["frames"]["times"]
    steps = [detector.push(Frame(i, t, f)) for i, (t, f) in enumerate(zip(times, log.frames, strict=True))]
    assert steps[log.index].status == "ok"
    x, y, *_ = log.place
    assert any(abs(d.x - x) < 0.1 and abs(d.y - y) < 0.1 for d in steps[log.index].detections)


def test_a_gap_voids_the_stack_and_no_verdict_looks_across(small_bundle, tmp_path):
    record(tmp_path / "clip.npy", noisy=(28, 29, 30), flash=-1, pause=30)
    summary = run(load_config(config(tmp_path, small_bundle)), threading.Event())
    assert dict(summary.warming) == {"history": 6, "gap": 6}
    assert [line["frame"] for line in lines(tmp_path) if line["status"] == "warming"] == [*range(6), *range(30, 36)]
    assert not {line["frame"] for line in lines(tmp_path, "verdicts")} & {28, 29, 30}


def test_a_run_goes_on_in_a_new_part_and_cuts_a_torn_line(small_bundle, tmp_path):
    record(tmp_path / "clip.npy", 20)
    settings = load_config(config(tmp_path, small_bundle))
    run(settings, threading.Event())
    part = tmp_path / "edge-out/detections-0001.jsonl"
    with part.open("ab") as file:
        file.write(b'{"v":1,"frame":20,"de')
    assert run(settings, threading.Event()).detections_file == "detections-0002.jsonl"
    assert len(lines(tmp_path)) == len(lines(tmp_path, part=2)) == 20


def test_the_budget_bounds_what_is_logged_not_what_is_judged(small_bundle, tmp_path):
    record(tmp_path / "clip.npy")
    more = {"suspects.missed_per_day": 1, "suspects.false_alarm_per_day": 0}
    summary = run(load_config(config(tmp_path, small_bundle, **more)), threading.Event())
    assert dict(summary.suspects) == {"missed": 1}
    tracked = sum(summary.verdicts[kind] for kind in VERDICTS)
    assert sum(summary.over_budget[kind] for kind in VERDICTS) == tracked - 1
    written = lines(tmp_path, "verdicts")
    assert [line["log"] is not None for line in written].count(True) == 1
    assert {line.get("why") for line in written} == {None, "over_budget"}


def test_a_destination_that_fails_leaves_the_suspects_in_the_spool(small_bundle, tmp_path):
    record(tmp_path / "clip.npy")
    (tmp_path / "depot").write_text("a file where the folder should be")
    settings = load_config(config(tmp_path, small_bundle))
    summary = run(settings, threading.Event())
    assert (summary.state, summary.uploaded) == ("finished", 0)
    assert summary.upload_error
    assert summary.waiting == sum(summary.suspects.values()) + 1 >= 3  # and the tally
    (tmp_path / "depot").unlink()
    done = subprocess.run([*EDGE, "upload", str(tmp_path / "edge.toml"), "--json"], capture_output=True, text=True)
    assert json.loads(done.stdout)["uploaded"] == summary.waiting


@pytest.mark.parametrize(("rate", "least"), [("own", 1.1), ("flat-out", 0.0)])
def test_own_rate_takes_as_long_as_the_recording(small_bundle, tmp_path, rate, least):
    record(tmp_path / "clip.npy", 30)
    summary = run(load_config(config(tmp_path, small_bundle, **{"camera.rate": rate})), threading.Event())
    assert summary.seconds >= least
    assert summary.frames == 30


def test_a_recording_without_times_is_replayed_flat_out_and_that_is_said(tmp_path, caplog):
    np.save(tmp_path / "clip.npy", np.zeros((40, 20, 20), np.uint16))
    begun = time.monotonic()
    with caplog.at_level("WARNING"):
        replay = open_replay([str(tmp_path / "clip.npy")], rate="own", interval=None, nominal=None)
        assert sum(isinstance(item, Shot) for item in replay.shots(threading.Event())) == 40
    assert time.monotonic() - begun < 10  # a second a frame before
    assert "clip: has no times, and is replayed flat out" in caplog.text


@pytest.mark.parametrize(("step", "given"), [(1, None), (2, None), (2, 0.1)])
def test_frames_of_a_recording_say_how_far_apart_they_are(tmp_path, step, given):
    path = record(tmp_path / "clip.npy", 6)
    replay = open_replay([str(path)], rate="flat-out", interval=given, nominal=None, step=step)
    shots = [item for item in replay.shots(threading.Event()) if isinstance(item, Shot)]
    assert [s.interval for s in shots] == pytest.approx([(given or 0.04) * step] * (6 // step))


def test_a_number_as_rate_is_frames_a_second(small_bundle, tmp_path):
    record(tmp_path / "clip.npy", 30)
    summary = run(load_config(config(tmp_path, small_bundle, **{"camera.rate": 60.0})), threading.Event())
    assert 0.48 <= summary.seconds < 1.1
    assert summary.frames == 30


def test_every_nth_frame_of_a_faster_recording_is_what_a_slower_one_gives(small_bundle, tmp_path):
    frames = np.load(record(tmp_path / "clip.npy", 40))
    np.save(tmp_path / "fast.npy", np.repeat(frames, 3, axis=0) + np.tile([0, 1, 2], 40)[:, None, None].astype("u2"))
    np.save(tmp_path / "fast.times.npy", np.arange(120) / 75)
    found = []
    for path, step in (("clip.npy", 1), ("fast.npy", 3)):
        folder = tmp_path / f"by{step}"
        folder.mkdir()
        more = {"camera.paths": [str(tmp_path / path)], "camera.step": step}
        run(load_config(config(folder, small_bundle, **more)), threading.Event())
        found.append([(line["frame"], line["detections"]) for line in lines(folder)])
    assert found[0] == found[1]


def test_a_folder_of_sequences_is_replayed_by_name(small_bundle, tmp_path):
    for name in ("b", "a"):
        record(tmp_path / f"clips/{name}.npy", 12)
    summary = run(load_config(config(tmp_path, small_bundle, **{"camera.paths": ["clips"]})), threading.Event())
    assert (summary.sources, summary.frames, dict(summary.warming)) == (2, 24, {"history": 12})
    assert [line["source"] for line in lines(tmp_path)] == ["a"] * 12 + ["b"] * 12


def test_a_second_run_on_the_same_output_is_refused(small_bundle, tmp_path):
    record(tmp_path / "clip.npy", 500)
    path = config(tmp_path, small_bundle, **{"camera.rate": "own"})
    process = subprocess.Popen([*EDGE, "run", str(path)], stdout=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "edge-out/status.json").exists())
    try:
        with pytest.raises(InputError, match="another irdim-edge run writes here"):
            run(load_config(path), threading.Event())
        assert read_status(tmp_path / "edge-out")["state"] == "running"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_within_a_second(small_bundle, tmp_path, number):
    record(tmp_path / "clip.npy", 1000)
    path = config(tmp_path, small_bundle, **{"camera.rate": "own"})
    process = subprocess.Popen([*EDGE, "run", str(path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: (out := tmp_path / "edge-out/detections-0001.jsonl").exists() and out.stat().st_size > 3000)
    began = time.monotonic()
    process.send_signal(number)
    answer, error = process.communicate(timeout=10)
    assert time.monotonic() - began < 4  # a second where the machine is free; the tests share theirs
    assert process.returncode == 0
    error = re.sub(rb".* WARNING the input step runs in NumPy.*\n", b"", error)  # where there is no C compiler
    assert re.fullmatch(rb"\S+ \S+ INFO bundle [0-9a-f]{12}, int8 on onnxruntime \S+\n", error), error
    assert json.loads(answer)["state"] == read_status(tmp_path / "edge-out")["state"] == "stopped"
    assert len(lines(tmp_path)) == json.loads(answer)["frames"] > 10


def test_kills_leave_whole_lines_and_no_suspect_is_lost(small_bundle, tmp_path):
    record(tmp_path / "clip.npy", 400, noisy=tuple(range(20, 400, 12)), flash=-1)
    path = config(tmp_path, small_bundle, **{"upload.interval": 0.1, "suspects.missed_per_day": 40000})
    for part in range(1, 4):
        process = subprocess.Popen([*EDGE, "run", str(path)], stdout=subprocess.DEVNULL)
        out = tmp_path / f"edge-out/verdicts-{part:04d}.jsonl"
        wait_for(lambda out=out: out.exists() and out.stat().st_size > 1500)
        process.kill()
        process.wait()
        assert read_status(tmp_path / "edge-out")["state"] == "killed"
    run(load_config(path), threading.Event())
    spool = Spool(tmp_path / "edge-out/spool", Bounds(1 << 30, 1000))
    logged: set[str] = set()
    for part in range(1, 5):
        frames = [line["frame"] for line in lines(tmp_path, part=part)]
        assert frames == list(range(len(frames)))
        logged |= {line["log"] for line in lines(tmp_path, "verdicts", part)}
    there = {p.name for p in (tmp_path / "depot").glob("*.irlog")}
    assert logged - {None} <= there
    assert len(logged) > 30
    assert spool.entries() == []
    assert all(read_any(tmp_path / "depot" / name) for name in there)
    tallies = [read_tally(tmp_path / "depot" / name).tally for name in there if "-tally-" in name]
    assert 1 <= len(tallies) <= 4  # of each run that a kill left a second to write in
    assert len({t.begin for t in tallies}) == len(tallies)
    assert max(t.frames for t in tallies) == 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: (d / "bundle/model.int8.onnx").write_bytes(b"x"), "its digest differs"),
        (lambda d: shutil.rmtree(d / "bundle"), "there is no bundle"),
        (lambda d: (d / "clip.npy").unlink(), "there is no such file or folder"),
        (lambda d: (d / "clip.npy").write_bytes(b"x"), "not a readable .npy stack"),
        (lambda d: np.save(d / "clip.times.npy", np.arange(20) * 0.2), "0.2 s between frames, but the bundle"),
        (lambda d: np.save(d / "clip.times.npy", np.arange(20) * 0.01), "set camera.step = 4"),
        (lambda d: (d / "edge-out").write_text("x"), "cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(small_bundle, tmp_path, change, message):
    record(tmp_path / "clip.npy", 20)
    shutil.copytree(small_bundle, tmp_path / "bundle")
    path = config(tmp_path, tmp_path / "bundle")
    change(tmp_path)
    done = subprocess.run([*EDGE, "run", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr


def test_a_recording_that_breaks_off_keeps_what_was_found(small_bundle, tmp_path):
    import cv2

    for t, frame in enumerate(np.load(record(tmp_path / "all.npy", 20))):
        (tmp_path / "clip").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"clip/{t:03d}.png"), frame)
    (tmp_path / "clip/015.png").write_bytes(b"broken")
    path = config(tmp_path, small_bundle, **{"camera.paths": ["clip"], "camera.interval": 0.04})
    done = subprocess.run([*EDGE, "run", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "015.png" in done.stderr
    assert len(lines(tmp_path)) == 15
    assert read_status(tmp_path / "edge-out")["state"] == "failed"


def test_after_a_recording_that_breaks_off_the_next_one_is_replayed_and_all_is_sent(small_bundle, tmp_path):
    whole = record(tmp_path / "b.npy")
    import cv2

    (tmp_path / "a").mkdir()
    for t, frame in enumerate(np.load(whole)):
        cv2.imwrite(str(tmp_path / f"a/{t:03d}.png"), frame)
    (tmp_path / "a/015.png").write_bytes(b"broken")
    path = config(
        tmp_path, small_bundle, **{"camera.paths": ["a", "b.npy"], "camera.interval": 0.04, "upload.interval": 3600}
    )
    done = subprocess.run([*EDGE, "run", str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "015.png" in done.stderr
    assert [line["source"] for line in lines(tmp_path)].count("b") == 60
    status = read_status(tmp_path / "edge-out")
    assert (status["state"], status["waiting"]) == ("failed", 0)
    assert status["uploaded"] == len(list((tmp_path / "depot").glob("*.irlog"))) > 0


def test_the_command_line_answers(ran, small_bundle, tmp_path):
    folder, summary = ran

    def answer(*options: str) -> dict:
        done = subprocess.run([*EDGE, *options, "--json"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert answer("status", str(folder / "edge.toml"))["frames"] == 60
    table = subprocess.run([*EDGE, "status", str(folder / "edge.toml")], capture_output=True, text=True).stdout
    assert "60 from 1 sequence" in table
    assert "{" not in table  # nothing of it is written as a program would
    assert answer("inspect", str(small_bundle))["digest"] == summary.bundle
    listed = answer("logs", "list", str(folder / "depot"))["logs"]
    assert len(listed) == summary.uploaded
    assert [one["kind"] for one in listed].count("tally") == 1
    listed = [one for one in listed if one["kind"] != "tally"]
    assert len(answer("logs", "extract", str(folder / "depot"), str(tmp_path / "out"))["extracted"]) == summary.uploaded
    assert np.load(tmp_path / "out" / Path(listed[0]["path"]).stem / "frames.npy").shape[1:] == (96, 120)
    broken = tmp_path / Path(listed[0]["path"]).name
    broken.write_bytes(Path(listed[0]["path"]).read_bytes()[:-1])
    done = subprocess.run([*EDGE, "logs", "list", str(broken)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "truncated or changed" in done.stderr


def test_the_edge_imports_neither_torch_nor_onnx_nor_the_workstation(ran):
    folder, _ = ran
    check = (
        "import sys; from irdim_edge.cli import app; app(['run', sys.argv[1], '--json'], standalone_mode=False);"
        "bad = {'torch', 'onnx', 'irdim_train', 'irdim_export', 'paramiko', 'matplotlib'} & set(sys.modules); assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", check, str(folder / "edge.toml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def wait_for(condition, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.01)
        os.sched_yield()
