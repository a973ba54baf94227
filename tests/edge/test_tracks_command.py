"""irdim-edge tracks: what the newest run found."""

import json
import re
import shutil
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from test_daemon import config, lines, place, record

from irdim.bundle import Bundle
from irdim.detector import Detector
from irdim.errors import InputError
from irdim_edge import daemon
from irdim_edge.config import load_config
from irdim_edge.daemon import run
from irdim_edge.output.parts import DETECTIONS, parts_in
from irdim_edge.status import read_status
from irdim_edge.tracks_command import NUMBERED, POINTS, Found, Run, draw, newest_run


@pytest.fixture(scope="module")
def twice(small_bundle, tmp_path_factory):
    """Two runs over the same recording, the second of frames that were shortened to 40."""
    folder = tmp_path_factory.mktemp("twice")
    path = config(folder, small_bundle)
    record(folder / "clip.npy", noisy=(), flash=-1)
    run(load_config(path), threading.Event())
    record(folder / "clip.npy", 40, noisy=(), flash=-1)
    run(load_config(path), threading.Event())
    return folder


def asked(folder, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "irdim_edge", "tracks", "edge.toml", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_the_newest_run_is_summed_up(twice):
    found = json.loads(asked(twice, "--json").stdout)
    written = lines(twice, part=2)
    assert found["frames"] == len(written) == 40
    linked = [d for line in written for d in line["detections"] if d["track"] is not None]
    assert sum(t["detections"] for t in found["tracks"]) == len(linked) > 10
    others = [d["label"] for line in written for d in line["detections"] if d["track"] is None]
    assert (found["loose"], found["interference"]) == (others.count("target"), others.count("interference"))
    best = found["tracks"][0]
    assert (best["label"], best["source"]) == ("target", "clip")
    assert (
        best["last"] == max(t["seen"] for line in written for t in line["tracks"] if t["track"] == best["track"]) >= 38
    )
    assert best["score"] == pytest.approx(np.mean([d["score"] for d in linked if d["track"] == best["track"]]))
    places = {frame: (x, y) for frame, x, y in best["points"]}
    of_it = [(line["frame"], d) for line in written for d in line["detections"] if d["track"] == best["track"]]
    assert all(places[frame] == (d["x"], d["y"]) for frame, d in of_it)


def test_the_path_is_drawn_over_the_recording(twice):
    done = asked(twice, "--pictures", "found")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"40 frames: \d confirmed tracks?, \d+ more target detections? in no confirmed track or before", done.stdout
    )
    assert re.search(r"│ clip +│ +\d+ │ +\d+ to 39 │", done.stdout)
    picture = cv2.imread(str(twice / "found/clip.png")).astype(int)
    zoom = picture.shape[1] // 120
    assert picture.shape == (96 * zoom, 120 * zoom, 3)
    ys, xs = np.nonzero(picture[..., 0] - picture[..., 2] > 100)  # blue
    x, y = place(39)
    assert np.hypot(xs / zoom - x, ys / zoom - y).min() < 3
    assert len(xs) > 20


def test_a_run_that_filled_parts_is_one_run(twice, tmp_path):
    """The numbers are no text, and what lies before the run's first part, or is torn, does not count."""
    whole = (twice / "edge-out/detections-0002.jsonl").read_bytes().splitlines(keepends=True)
    before = (twice / "edge-out/detections-0001.jsonl").read_bytes()
    (tmp_path / "detections-9998.jsonl").write_bytes(before)
    (tmp_path / "detections-9999.jsonl").write_bytes(b"".join(whole[:25]))
    (tmp_path / "detections-10000.jsonl").write_bytes(b"".join(whole[25:]) + b'\xff\xfe{"v":1,"torn')
    (tmp_path / "detections-old.jsonl").write_bytes(before)
    (tmp_path / "status.json").write_text('{"v": 1, "first_part": 9999}')
    parted, one = newest_run(tmp_path), newest_run(twice / "edge-out")
    assert (parted.tracks, parted.loose) == (one.tracks, one.loose)
    assert parted.frames == 40


def test_a_run_that_has_found_nothing_yet_is_not_the_one_before(twice, tmp_path):
    shutil.copytree(twice / "edge-out", tmp_path / "out")
    (tmp_path / "out/detections-0003.jsonl").write_bytes(b"")
    (tmp_path / "out/status.json").write_text('{"v": 1, "first_part": 3}')
    assert newest_run(tmp_path / "out") == Run()


def test_recordings_of_one_name_are_told_apart(small_bundle, tmp_path):
    """In the lines and in the pictures."""
    for folder, length in (("a", 30), ("b", 40)):
        record(tmp_path / folder / "clip.npy", length, noisy=(), flash=-1)
    path = config(tmp_path, small_bundle, **{"camera.paths": ["a", "b"]})
    run(load_config(path), threading.Event())
    assert {line["source"]: line["frame"] for line in lines(tmp_path)} == {"clip": 29, "clip-2": 39}
    found = json.loads(asked(tmp_path, "--json", "--pictures", "found").stdout)
    assert found["pictures"] == ["found/clip.png", "found/clip-2.png"]
    assert {t["source"] for t in found["tracks"]} == {"clip", "clip-2"}


def test_tracks_of_two_bundles_have_numbers_of_their_own(small_bundle, tmp_path, monkeypatch):
    """A new bundle's tracker goes on counting: a track of the old one is not continued by one of the same number."""
    record(tmp_path / "clip.npy", 60, noisy=(), flash=-1)

    class Once(daemon.Takeover):
        calls = 0

        def take(self):
            Once.calls += 1
            bundle = Bundle.load(small_bundle)
            return (bundle, Detector.from_bundle(bundle, threads=1)) if Once.calls == 30 else None

    monkeypatch.setattr(daemon, "Takeover", Once)
    summary = run(load_config(config(tmp_path, small_bundle)), threading.Event())
    assert summary.takeovers == 1
    found = newest_run(tmp_path / "edge-out").tracks
    assert len(found) == summary.tracks > 1
    taken_over = 29
    assert not [t for t in found if t.first < taken_over < t.last]


def test_a_long_path_is_thinned_out_and_keeps_its_ends():
    found = Found("a", 1, "", 0)
    for frame in range(3 * POINTS):
        found.see(frame, frame, 0.0)
        found.see(frame, 99.0, 99.0)  # not twice on a frame
    assert len(found.points) <= POINTS
    assert found.points[0] == (0, 0, 0.0)
    assert found.points[-1] == (3 * POINTS - 1, 3 * POINTS - 1, 0.0)
    assert found.way == 3 * POINTS - 1


def test_what_is_wrong_is_said(small_bundle, tmp_path):
    with pytest.raises(InputError, match="has irdim-edge run"):
        newest_run(tmp_path)
    (tmp_path / "detections-0001.jsonl").write_text('{"v":7}\n')
    (tmp_path / "status.json").write_text('{"v": 1, "first_part": 1}')
    with pytest.raises(InputError, match="not detections of this irdim"):
        newest_run(tmp_path)
    config(tmp_path, small_bundle, **{"camera.stream": "v4l2:/dev/video7"})
    (tmp_path / "edge-out").mkdir()
    (tmp_path / "edge-out/status.json").write_text('{"v": 1, "first_part": 1}')
    done = asked(tmp_path, "--pictures", "found")
    assert done.returncode == 2
    assert "live camera" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_more_tracks_than_can_be_targets_are_said_to_be_none_and_are_not_numbered(twice):
    out = load_config(twice / "edge.toml").out_path
    (part,) = parts_in(out, DETECTIONS)[read_status(out)["first_part"]]
    assert "does not know your scenes" not in asked(twice).stdout
    before = part.read_text()
    written = [json.loads(line) for line in before.splitlines()]
    busy = next(line for line in written if line["tracks"])
    track = busy["tracks"][0]
    busy["tracks"] += [{**track, "track": 1000 + i, "x": 3.0 * i, "y": 40.0} for i in range(NUMBERED + 5)]
    part.write_text("".join(json.dumps(line) + "\n" for line in written))
    done = asked(twice)
    assert "does not know your scenes" in done.stdout
    few, many = (draw(np.zeros((96, 120), np.uint16), newest_run(out).tracks[:n]) for n in (NUMBERED, NUMBERED + 5))
    part.write_text(before)
    assert 0 < (few != many).any(axis=-1).sum() < 6 * 7 * 7  # small circles, no numbers
