"""A new bundle while the daemon runs."""

import json
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from test_daemon import EDGE, config, lines, record, wait_for

from irdim.bundle import Bundle
from irdim.detector import Detector
from irdim.fieldlog import read_tally
from irdim.sources import open_source
from irdim_edge.config import load_config
from irdim_edge.daemon import run


def variant(bundle: Path, to: Path, **model) -> Path:
    """A copy of a bundle with another model card."""
    shutil.copytree(bundle, to)
    description = json.loads((to / "bundle.json").read_text())
    description["model"].update(model)
    (to / "bundle.json").write_text(json.dumps(description))
    return to


def point(link: Path, to: Path) -> None:
    """Let a symbolic link point elsewhere, at once."""
    temporary = link.with_name("next")
    temporary.symlink_to(to)
    temporary.replace(link)


def start(folder: Path, bundle: Path, frames: int = 120, **more) -> tuple[subprocess.Popen, Path]:
    """A running daemon on a link to the bundle, at 25 frames a second."""
    record(folder / "clip.npy", frames)
    point(folder / "current", bundle)
    path = config(folder, folder / "current", **{"camera.rate": "own", **more})
    process = subprocess.Popen(
        [*EDGE, "run", str(path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (out := folder / "edge-out/detections-0001.jsonl").exists() and out.stat().st_size > 1000)
    return process, folder / "current"


def test_a_new_bundle_is_taken_over_between_two_frames(small_bundle, tmp_path):
    strict = variant(small_bundle, tmp_path / "strict", thresholds={"report": 1.0, "low": 0.5})
    process, link = start(tmp_path, small_bundle)
    point(link, strict)
    answer, journal = process.communicate(timeout=60)
    summary, found = json.loads(answer), lines(tmp_path)
    assert (summary["takeovers"], summary["bundle"]) == (1, Bundle.load(strict).digest)
    assert f"{summary['bundle'][:16]}: taken over" in journal
    assert [line["frame"] for line in found] == list(range(120))
    assert [line["status"] for line in found] == ["warming"] * 6 + ["ok"] * 114  # no frame without a full stack
    old = Detector.from_bundle(Bundle.load(small_bundle), threads=1)
    report = old.thresholds.report
    plain = [sum(d.score >= report for d in old.push(frame).detections) for frame in open_source(tmp_path / "clip.npy")]
    counts = [len(line["detections"]) for line in found]
    swapped = max(i for i, n in enumerate(counts) if n) + 1
    assert 10 < swapped < 115
    assert counts[:swapped] == plain[:swapped]
    tallies = [read_tally(p).tally for p in (tmp_path / "depot").glob("*-tally-*")]
    assert {t.bundle for t in tallies} == {Bundle.load(small_bundle).digest, summary["bundle"]}
    assert sum(t.frames for t in tallies) == 120


def broken_graph(folder: Path) -> None:
    for name in ("model.int8.onnx", "model.int8.cpu.onnx"):
        (folder / name).write_bytes(b"not a graph")


def wrong_digest(folder: Path) -> None:
    description = json.loads((folder / "bundle.json").read_text())
    description["files"]["model.onnx"] = "0" * 64
    (folder / "bundle.json").write_text(json.dumps(description))


def no_network(folder: Path) -> None:
    """Digests that are right, of a graph that is none."""
    from irdim.files import sha256

    broken_graph(folder)
    description = json.loads((folder / "bundle.json").read_text())
    for name in ("model.int8.onnx", "model.int8.cpu.onnx"):
        description["files"][name] = sha256(folder / name)
    (folder / "bundle.json").write_text(json.dumps(description))


def other_input(folder: Path) -> None:
    """A card that does not fit its graph: seen only when it is run."""
    description = json.loads((folder / "bundle.json").read_text())
    description["model"]["input"]["kind"] = "single"
    (folder / "bundle.json").write_text(json.dumps(description))


def other_interval(folder: Path) -> None:
    description = json.loads((folder / "bundle.json").read_text())
    description["model"]["interval"] = 1.0
    (folder / "bundle.json").write_text(json.dumps(description))


@pytest.mark.parametrize("harm", [wrong_digest, no_network, other_input, other_interval])
def test_a_bundle_that_fails_is_not_taken_over_and_nothing_is_lost(small_bundle, tmp_path, harm):
    bad = tmp_path / "bad"
    shutil.copytree(small_bundle, bad)
    harm(bad)
    process, link = start(tmp_path, small_bundle, 90)
    point(link, bad)
    answer, journal = process.communicate(timeout=60)
    summary = json.loads(answer)
    assert (summary["takeovers"], summary["state"]) == (0, "finished")
    assert summary["bundle"] == Bundle.load(small_bundle).digest
    first, line = journal.splitlines()
    assert " INFO bundle " in first
    assert "not taken over (" in line
    assert "goes on" in line
    assert [line["frame"] for line in lines(tmp_path)] == list(range(90))
    assert sum(len(line["detections"]) for line in lines(tmp_path)) > 60


def test_a_hang_up_signal_looks_at_once_and_does_not_end_the_run(small_bundle, tmp_path):
    process, _ = start(tmp_path, small_bundle, 90)
    process.send_signal(signal.SIGHUP)
    answer, journal = process.communicate(timeout=60)
    assert json.loads(answer)["frames"] == 90
    assert "unchanged" in journal


@pytest.mark.parametrize("step", ["prime", "run", "judge"])  # in the threads of the input step, the engine, the tracks
def test_a_new_bundle_that_fails_on_its_first_frame_leaves_it_to_the_old(small_bundle, tmp_path, monkeypatch, step):
    """Nothing that the trial run does not show, so the detector is made to fail by hand."""
    record(tmp_path / "clip.npy", 40)
    settings = load_config(config(tmp_path, small_bundle))
    from irdim_edge import daemon

    def fail(*_):
        raise RuntimeError("out of memory")

    class Once(daemon.Takeover):
        calls = 0

        def take(self):
            Once.calls += 1
            bundle = Bundle.load(small_bundle)
            detector = Detector.from_bundle(bundle)
            setattr(detector.engine if step == "run" else detector, step, fail)
            return (bundle, detector) if Once.calls == 20 else None

    monkeypatch.setattr(daemon, "Takeover", Once)
    summary = run(settings, threading.Event())
    assert (summary.frames, summary.takeovers, summary.errors) == (40, 0, 1)
    assert "out of memory" in summary.last_error
    assert [line["status"] for line in lines(tmp_path)] == ["warming"] * 6 + ["ok"] * 34
