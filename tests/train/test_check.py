"""Every planted fault is found, and a clean set is left in peace."""

import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rendered import make_data, render_sequence

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.sources import Frame
from irdim_train.checking import Severity, check, subjects_of_data, subjects_of_recordings
from irdim_train.checking.findings import Finding, first_of_each
from irdim_train.checking.jumps import find_jumps
from irdim_train.checking.labels import measure_spot
from irdim_train.checking.page import write_page
from irdim_train.checking.suggest import suggest_frame_step, table_1


def checked(folder: Path):
    with Dataset.open(folder) as data:
        return check(subjects_of_data(data))


def kinds(found) -> set[str]:
    return {f.kind for f in found.findings}


def build(path: Path, change=None, sequences: int = 3, **options) -> Path:
    """A data set of rendered sequences, `change`d: (number, frames, boxes, times) to the same."""
    with Dataset.create(path) as data:
        for i in range(sequences):
            frames, boxes = render_sequence(i)
            boxes = {
                t: [replace(b, w=3.5, h=3.5) for b in bs] for t, bs in boxes.items()
            }  # small, even in so small a frame
            times = np.arange(len(frames)) / 25
            if change:
                frames, boxes, times = change(i, frames, boxes, times)
            data.add_sequence(
                f"seq{i}",
                [Frame(t, float(times[t]), f) for t, f in enumerate(frames)],
                boxes,
                split=options.get("splits", ("train", "val", "test"))[i],
                group=options.get("groups", ("a", "b", "c"))[i],
                source="rendered",
                who="tests",
                interval=1 / 25,
            )
    return path


def test_a_clean_set_has_no_findings(tmp_path):
    found = checked(build(tmp_path / "data"))
    assert found.findings == []
    assert not found.harmful


def test_the_frames_of_a_data_set_are_read_once(tmp_path, monkeypatch):
    asked = []
    frames = Dataset.frames
    monkeypatch.setattr(Dataset, "frames", lambda data, s: asked.append(s.name) or frames(data, s))
    checked(build(tmp_path / "data"))
    assert asked == ["seq0", "seq1", "seq2"]


def frozen(i, frames, boxes, times):
    frames[10:14] = frames[10]
    return frames, boxes, times


def repeated_later(i, frames, boxes, times):
    frames[30] = frames[10]
    return frames, boxes, times


def gap(i, frames, boxes, times):
    times[20:] += 1.0
    return frames, boxes, times


def backwards(i, frames, boxes, times):
    times[20] = times[18]
    return frames, boxes, times


def jump(i, frames, boxes, times):
    b = boxes[20][0]
    return frames, {**boxes, 20: [replace(b, x=b.x - 25 if b.x > 60 else b.x + 25)]}, times


def large(i, frames, boxes, times):
    return frames, {t: [replace(b, w=30.0, h=30.0) for b in bs] for t, bs in boxes.items()}, times


def off_by_three(i, frames, boxes, times):
    return frames, {t: [replace(b, x=b.x + 2.5) for b in bs] for t, bs in boxes.items()}, times


def doubled(i, frames, boxes, times):
    return frames, {t: [*bs, replace(bs[0], x=bs[0].x + 0.5)] if t == 9 else bs for t, bs in boxes.items()}, times


def no_labels(i, frames, boxes, times):
    return frames, {} if i == 1 else boxes, times


def other_size(i, frames, boxes, times):
    return (np.pad(frames, ((0, 0), (0, 8), (0, 8)), mode="reflect") if i == 2 else frames), boxes, times


@pytest.mark.parametrize(
    ("change", "kind", "severity"),
    [
        (frozen, "frozen", Severity.LOOK),
        (repeated_later, "duplicate", Severity.LOOK),
        (gap, "time", Severity.LOOK),
        (backwards, "time", Severity.LOOK),
        (jump, "jump", Severity.HARMFUL),
        (doubled, "doubled", Severity.LOOK),
        (large, "large box", Severity.LOOK),
        (large, "large target", Severity.LOOK),
        (off_by_three, "offset", Severity.HARMFUL),
        (no_labels, "splits", Severity.LOOK),
        (other_size, "mixed", Severity.NOTE),
    ],
)
def test_a_planted_fault_is_found(tmp_path, change, kind, severity):
    found = checked(build(tmp_path / "data", change))
    of_kind = [f for f in found.findings if f.kind == kind]
    assert of_kind
    assert of_kind[0].severity is severity
    assert found.harmful == any(f.severity is Severity.HARMFUL for f in found.findings)


def test_equal_frames_are_one_finding_of_a_sequence_that_names_the_longest_run(tmp_path):
    def often(i, frames, boxes, times):
        frames[20:22], frames[10:14] = frames[20], frames[10]
        return frames, boxes, times

    texts = [f.text for f in checked(build(tmp_path / "data", often, sequences=1)).findings if f.kind == "frozen"]
    assert len(texts) == 1
    assert "frame 10: 4 equal frames in a row, the camera was stuck" in texts[0]
    assert texts[0].endswith("the longest of 2 such runs in this sequence")


def test_a_jump_names_its_frame_and_shows_it(tmp_path):
    found = checked(build(tmp_path / "data", jump))
    jumps = [f for f in found.findings if f.kind == "jump"]
    assert [(f.sequence, f.frame) for f in jumps] == [("seq0", 20), ("seq1", 20), ("seq2", 20)]
    assert all(f.picture is not None and f.box is not None for f in jumps)


def test_a_group_in_two_splits_is_harmful(tmp_path):
    found = checked(build(tmp_path / "data", groups=("a", "b", "a")))
    assert "shared scene" in kinds(found)
    assert found.harmful


def test_frames_that_two_splits_share_are_harmful(tmp_path):
    other = render_sequence(0)[0]

    def share(i, frames, boxes, times):
        if i == 2:
            frames[5:9] = other[20:24]
        return frames, boxes, times

    found = checked(build(tmp_path / "data", share))
    shared = [f for f in found.findings if f.kind == "shared frames"]
    assert len(shared) == 1
    assert "seq0 and seq2 (train and test) have 4 frames in common" in shared[0].text


@pytest.mark.parametrize(
    ("name", "source", "told"),
    [
        ("log-0123456789abcdef", "20260304T050001000Z-missed-0123456789abcdef.irlog", False),
        ("log-tower", "/recordings/log-tower", True),
        ("tower", "20260304T050001000Z-missed-0123456789abcdef.irlog", True),
    ],
)
def test_only_field_logs_may_share_frames_in_a_split_and_be_short(tmp_path, name, source, told):
    with Dataset.open(build(tmp_path / "data")) as data:
        pixels = [Frame(t, t / 25, f) for t, f in enumerate(render_sequence(0)[0][:8])]
        data.add_sequence(name, pixels, {}, split="train", group="d", source=source, who="t", interval=1 / 25)
    found = checked(tmp_path / "data")
    assert any("8 frames in common" in f.text for f in found.findings) == told
    assert ("too short" in found.frame_step()[1]) == told


def test_a_near_identical_scene_across_splits_is_shown(tmp_path):
    cloud = 4000 * cv2.GaussianBlur(np.random.default_rng(5).normal(size=(96, 120)), (0, 0), 6)

    def cloudy(i, frames, boxes, times):
        return (np.clip(frames + (cloud if i != 1 else cloud[::-1, ::-1]), 0, 65535).astype(np.uint16)), boxes, times

    found = checked(build(tmp_path / "data", cloudy))
    similar = [f.text for f in found.findings if f.kind == "similar scene"]
    assert len(similar) == 1
    assert "seq0 (train) and seq2 (test)" in similar[0]


def test_everything_in_train_is_told(tmp_path):
    assert "splits" in kinds(checked(build(tmp_path / "data", splits=("train",) * 3)))


def test_damaged_and_missing_frame_files_are_harmful(tmp_path):
    folder = build(tmp_path / "data")
    path = folder / "frames" / "seq0.npy"
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff\xff")
    (folder / "frames" / "seq1.npy").unlink()
    with (folder / "frames" / "seq2.npy").open("r+b") as file:
        file.truncate(100_000)
    found = checked(folder)
    assert {f.sequence: f.kind for f in found.findings if f.severity is Severity.HARMFUL} == {
        "seq0": "changed",
        "seq1": "unreadable",
        "seq2": "unreadable",
    }


def test_a_label_that_left_the_frame_is_found(tmp_path):
    folder = build(tmp_path / "data")
    with sqlite3.connect(folder / "dataset.sqlite") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE boxes SET x = 500 WHERE id = 3")
    assert "outside" in kinds(checked(folder))


def test_recordings_are_checked_before_an_import(tmp_path):
    frames, _ = render_sequence(0)
    for name in ("good", "broken"):
        (tmp_path / name).mkdir()
        for t in range(6):
            cv2.imwrite(str(tmp_path / name / f"{t:03}.png"), frames[t])
    (tmp_path / "broken" / "004.png").write_bytes((tmp_path / "broken" / "004.png").read_bytes()[:4000])
    found = check(subjects_of_recordings([tmp_path]))
    harmful = [f for f in found.findings if f.severity is Severity.HARMFUL]
    assert [(f.kind, f.sequence) for f in harmful] == [("unreadable", "broken")]
    assert "004.png" in harmful[0].text


def test_grey_masks_are_told(tmp_path):
    folder = tmp_path / "sequences" / "one"
    frames, boxes = render_sequence(0)
    for name in ("images", "masks"):
        (tmp_path / name / "one").mkdir(parents=True)
    for t in range(4):
        mask = np.zeros(frames[t].shape, np.uint8)
        cv2.circle(mask, (int(boxes[t][0].x), int(boxes[t][0].y)), 2, 255, -1)
        mask[mask > 0] -= np.uint8(t * 20)
        mask[5, 5] = 40
        cv2.imwrite(str(tmp_path / "images" / "one" / f"{t}.png"), frames[t])
        cv2.imwrite(str(tmp_path / "masks" / "one" / f"{t}.png"), mask)
    assert not folder.exists()
    found = check(subjects_of_recordings([tmp_path]))
    assert any(f.kind == "labels" and "mask" in f.text for f in found.findings), found.findings


def test_a_spot_is_measured_where_it_is():
    y, x = np.mgrid[:64, :64] + 0.5
    frame = 1000 + 300 * np.exp(-((x - 30.7) ** 2 + (y - 25.2) ** 2) / (2 * 1.4**2))
    frame = np.rint(frame + np.random.default_rng(0).normal(0, 3, frame.shape)).astype(np.uint16)
    scr, side, offset = measure_spot(frame, Box(30.0, 26.0, 7.0, 7.0))
    assert scr > 50
    assert side == pytest.approx(2.355 * 1.4 * np.sqrt(np.pi) / 2, rel=0.15)  # a disc of the width at half height
    assert offset == (pytest.approx(0.7, abs=0.15), pytest.approx(-0.8, abs=0.15))


def test_crossing_targets_and_fast_ones_are_no_jumps():
    places = {t: np.array([[10.0 + 5 * t, 20.0], [110.0 - 5 * t, 20.0]]) for t in range(21)}
    still = {t: np.zeros(2) for t in places}
    assert find_jumps(places, still) == []
    places[7][1] += (0, 40)
    assert [(frame, number) for frame, number, _ in find_jumps(places, still)] == [(7, 1)]


def test_a_moving_camera_makes_no_jumps():
    pan = {t: np.array([25.0 * t, 0.0]) for t in range(10)}
    places = {t: np.array([[10.0, 20.0]]) + pan[t] for t in range(10)}
    assert find_jumps(places, pan) == []


@pytest.mark.parametrize(
    ("side", "speed", "length", "step"),
    [(6.0, 1.5, 200, 4), (3.0, 3.0, 200, 1), (6.0, 1.0, 24, 2), (6.0, 0.02, 400, 12)],
)
def test_the_step_moves_a_target_by_its_size(side, speed, length, step):
    nothing = np.array([np.nan])
    found, why = suggest_frame_step(np.array([side]), nothing, np.array([speed, np.nan]), [length, length + 1])
    assert found == step
    assert why
    assert "too short" not in why


@pytest.mark.parametrize(
    ("speed", "lengths", "step", "too_short"),
    [
        (1.5, [500] * 100, 4, ""),
        (1.5, [8] + [500] * 100, 4, "; 1 of 101 sequences is too short for it: below 36 frames"),
        (np.nan, [8] + [500] * 100, 4, "; 1 of 101 sequences is too short for it: below 36 frames"),
        (0.02, [90, 90] + [500] * 100, 12, "; 2 of 102 sequences are too short for it: below 108 frames"),
        (1.5, [30] * 50 + [500], 3, ""),
        (1.5, [1] * 50, 1, "; 50 of 50 sequences are too short for it: below 9 frames"),
    ],
)
def test_the_step_is_one_that_the_sequences_of_most_frames_allow_and_the_others_are_counted(
    speed, lengths, step, too_short
):
    found, why = suggest_frame_step(np.array([6.0]), np.array([np.nan]), np.array([speed]), lengths)
    assert found == step
    assert too_short in why
    assert ("too short" in why) == bool(too_short)


def test_table_1_is_the_papers():
    rows = {s.name: s for s in table_1((512, 640), 2, 9.0)}
    assert rows["full"].kilobytes == pytest.approx(2.5 * 1024, rel=0.01)
    assert [rows[n].kilobytes for n in ("80", "32", "16")] == pytest.approx([50, 8, 2])
    shares = [rows[n].per_mille for n in ("full", "80", "64", "32", "16")]
    assert shares == pytest.approx([0.0275, 1.4, 2.2, 8.8, 35.2], rel=0.01)


def test_the_command_answers_people_and_scripts(tmp_path, small_data):
    command = [sys.executable, "-m", "irdim_train", "check"]
    page = tmp_path / "check.html"
    done = subprocess.run([*command, str(small_data), "--json", "--html", str(page)], capture_output=True, text=True)
    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert answer["harmful"] is False
    assert answer["splits"]["train"]["sequences"] == 4
    assert answer["splits"]["train"]["median_speed"] > 0
    assert page.read_text().count("data:image/png") >= 4
    shutil.copytree(small_data, tmp_path / "bad")
    (tmp_path / "bad" / "frames" / "seq2.npy").unlink()
    done = subprocess.run([*command, str(tmp_path / "bad")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "harmful:" in done.stdout
    (tmp_path / "bad.npy").write_text("no array")
    for nothing in ("nothing", "bad.npy"):
        done = subprocess.run([*command, str(tmp_path / nothing)], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert done.stdout == ""


def test_a_page_of_findings_has_their_pictures(tmp_path):
    found = checked(build(tmp_path / "data", jump))
    write_page(tmp_path / "page.html", found, "data")
    assert "Harmful" in (tmp_path / "page.html").read_text()


def test_a_set_without_any_label_is_checked(tmp_path):
    make_data(tmp_path / "data", 2)
    with Dataset.create(tmp_path / "bare") as data:
        frames, _ = render_sequence(0)
        pixels = [Frame(t, t / 25, f) for t, f in enumerate(frames)]
        data.add_sequence("one", pixels, {}, split="train", group="a", source="s", who="t", interval=1 / 25)
    found = checked(tmp_path / "bare")
    json.dumps(found.to_json(), allow_nan=False)
    write_page(tmp_path / "page.html", found, "bare")
    assert kinds(found) == {"splits"}


def test_many_of_one_kind_hide_no_other() -> None:
    many = [Finding("large box", str(i)) for i in range(12)] + [
        Finding("similar scene", "leak"),
        Finding("time", "gap"),
    ]
    shown = [f.text for f in first_of_each(many, 5)]
    assert shown == ["0", "1", "2", "leak", "gap"]
    assert first_of_each(many[:2], 5) == many[:2]
