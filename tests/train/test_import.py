"""irdim-train import: layouts, coordinates, splits, bad labels, and that a second import adds nothing."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim_train.commands.import_ import command
from irdim_train.importing import find_sequences
from irdim_train.importing.labels import classes_of, read_labels
from irdim_train.importing.splits import check_groups, group_of, split_by_globs, split_by_hash

app = typer.Typer()
app.command()(command)

HEADER = "frame,label,x,y,width,height\n"


def import_(*arguments: object) -> dict:
    """Run the command with --json; what it printed. Raises what it raises."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    if result.exception:
        raise result.exception
    return json.loads(result.stdout)


def stack(seed: int = 0, length: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4000, (length, 20, 30)).astype(np.uint16)


def clip(root: Path, name: str, rows: str | None = "0,BIRD,4,6,3,2\n", seed: int | None = None) -> Path:
    """A sequence in a folder, with boxes.csv unless `rows` is None."""
    folder = root / name
    folder.mkdir(parents=True)
    np.save(folder / "frames.npy", stack(sum(map(ord, name)) if seed is None else seed))
    if rows is not None:
        (folder / "boxes.csv").write_text(HEADER + rows)
    return folder


def drone_ir(root: Path, *names: str, rows: str = "0,BIRD,5,7,3,2\n1,,,,,\n2,DRONE,5,7,3,2\n") -> Path:
    """The drone-ir layout, with real videos."""
    for folder in ("clips", "labels"):
        (root / folder).mkdir(parents=True)
    for seed, name in enumerate(names):
        video = cv2.VideoWriter(str(root / "clips" / f"{name}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30, (64, 48))
        for pixels in np.random.default_rng(seed).integers(0, 255, (6, 48, 64, 3)).astype(np.uint8):
            video.write(pixels)
        video.release()
        (root / "labels" / f"{name}_LABELS.csv").write_text(HEADER + rows)
    return root


def boxes(out: Path, name: str) -> dict[int, list[tuple]]:
    with Dataset.open(out) as data:
        return {f: [(b.x, b.y, b.w, b.h, b.label) for b in of] for f, of in data.boxes(data.sequence(name)).items()}


def test_drone_ir_is_one_based_and_boxes_csv_zero_based(tmp_path: Path) -> None:
    out = tmp_path / "data"
    answer = import_(drone_ir(tmp_path / "drone", "A_1"), clip(tmp_path, "B_1"), "--out", out)
    assert answer["layouts"] == [
        {"layout": "boxes-csv", "origin": 0, "sequences": 1},
        {"layout": "drone-ir", "origin": 1, "sequences": 1},
    ]
    assert boxes(out, "A_1") == {0: [(5.5, 7.0, 3, 2, "target")], 2: [(5.5, 7.0, 3, 2, "target")]}
    assert boxes(out, "B_1") == {0: [(5.5, 7.0, 3, 2, "target")]}


def test_origin_can_be_overridden_and_labels_left_out(tmp_path: Path) -> None:
    source = clip(tmp_path, "B")
    import_(source, "--out", tmp_path / "one", "--origin", 1)
    assert boxes(tmp_path / "one", "B") == {0: [(4.5, 6.0, 3, 2, "target")]}
    assert import_(source, "--out", tmp_path / "none", "--format", "frames")["layouts"][0]["layout"] == "frames"
    assert boxes(tmp_path / "none", "B") == {}
    with pytest.raises(InputError, match="--origin 2"):
        import_(source, "--out", tmp_path / "x", "--origin", 2)


def test_names_are_mapped_to_classes(tmp_path: Path) -> None:
    source = clip(tmp_path, "B", "0,BIRD,4,6,3,2\n0,DRONE,4,6,3,2\n0,Ignore,4,6,3,2\n")
    assert import_(source, "--out", tmp_path / "data", "--map", "BIRD=interference")["classes"] == {
        "BIRD": "interference",
        "DRONE": "target",
        "Ignore": "ignore",
    }
    assert [b[-1] for b in boxes(tmp_path / "data", "B")[0]] == ["interference", "target", "ignore"]
    for text, part in (("BIRD", "NAME=CLASS"), ("BIRD=x", "choose one of"), ("BRID=ignore", "no label of that name")):
        with pytest.raises(InputError, match=part):
            import_(source, "--out", tmp_path / "other", "--map", text)


def test_a_misspelt_label_is_refused_and_a_strange_one_is_told(tmp_path: Path) -> None:
    source = clip(tmp_path, "B", "0,interferance,4,6,3,2\n0,cloud,4,6,3,2\n0,drone,4,6,3,2\n")
    with pytest.raises(InputError, match="no class is known for the label interferance"):
        import_(source, "--out", tmp_path / "data")
    found = import_(source, "--out", tmp_path / "data", "--map", "interferance=interference")
    assert found["classes"] == {"interferance": "interference", "cloud": "target", "drone": "target"}
    assert "taken for targets: cloud; --map cloud=interference (or ignore) says otherwise" in found["notes"]


def test_interval_and_step_thin_out_frames_boxes_and_times(tmp_path: Path) -> None:
    source = clip(tmp_path, "B", "0,D,4,6,3,2\n1,D,4,6,3,2\n4,D,5,6,3,2\n")
    import_(source, "--out", tmp_path / "data", "--interval", 0.04, "--step", 2)
    with Dataset.open(tmp_path / "data") as data:
        sequence = data.sequence("B")
        np.testing.assert_array_equal(data.frames(sequence), np.load(source / "frames.npy")[::2])
        np.testing.assert_allclose(data.times(sequence), [0, 0.08, 0.16])
        assert (sequence.interval, sorted(data.boxes(sequence))) == (0.08, [0, 2])


def test_a_video_brings_its_interval(tmp_path: Path) -> None:
    import_(drone_ir(tmp_path / "drone", "A"), "--out", tmp_path / "data")
    with Dataset.open(tmp_path / "data") as data:
        assert data.sequence("A").interval == pytest.approx(1 / 30)


def test_that_nothing_is_in_test_is_told_unless_it_was_asked_for(tmp_path: Path) -> None:
    for name in ("A", "B", "C"):
        clip(tmp_path / "in", name)
    told = [
        "no sequence is in test" in " ".join(import_(tmp_path / "in", "--out", tmp_path / f"data{i}", *asked)["notes"])
        for i, asked in enumerate(((), ("--val", "C"), ("--test", "C")))
    ]
    assert told == [True, False, False]


def test_a_second_import_adds_nothing_and_says_so(tmp_path: Path) -> None:
    clip(tmp_path / "in", "A")
    clip(tmp_path / "in", "B")
    first = import_(tmp_path / "in", "--out", tmp_path / "data")
    assert first["added"] == ["A", "B"]
    second = import_(tmp_path / "in", "--out", tmp_path / "data")
    assert (second["added"], second["there"], second["notes"]) == ([], ["A", "B"], first["notes"])
    result = CliRunner().invoke(app, [str(tmp_path / "in"), "--out", str(tmp_path / "data")])
    assert "nothing added" in result.stdout
    (tmp_path / "in" / "A" / "boxes.csv").write_text(HEADER + "1,BIRD,4,6,3,2\n")
    changed = import_(tmp_path / "in", "--out", tmp_path / "data", "--val", "*")
    assert boxes(tmp_path / "data", "A") == {0: [(5.5, 7.0, 3, 2, "target")]}
    assert any(note.startswith("A: its boxes") for note in changed["notes"])
    assert any("stays in split 'train'" in note for note in changed["notes"])
    clip(tmp_path / "copy", "A2", seed=ord("A"))
    renamed = import_(tmp_path / "copy", "--out", tmp_path / "data")["notes"]
    assert any("another name" in note for note in renamed)


def test_labels_that_come_later_are_taken_where_nobody_has_labelled_or_decided(tmp_path: Path) -> None:
    folders = [clip(tmp_path / "in", name, rows=None) for name in ("A", "B", "C")]
    np.save(tmp_path / "in" / "D.npy", stack(7))
    (tmp_path / "in" / "D.boxes.csv").write_text(HEADER)  # sorts before labels.csv, but is read
    (tmp_path / "in" / "labels.csv").write_text("sequence,frame,x,y\nA,0,4,6\n")
    (tmp_path / "in" / "A.times.csv").write_text("time\n")  # sorts before it, and holds no labels
    notes = import_(tmp_path / "in", "--out", tmp_path / "data", "--test", "C")["notes"]
    assert any(note.startswith(f"not read: {tmp_path / 'in' / 'labels.csv'}; labels are taken from") for note in notes)
    with Dataset.open(tmp_path / "data") as data:
        data.add_box(data.sequence("B"), 1, Box(9, 9, 3, 3), who="anna", why="label")
        one = {"key": "k", "kind": "missed", "sequence_id": data.sequence("C").id, "frame": 0, "box": Box(5, 5, 3, 3)}
        data.enqueue(**one, score=0.5, reason="x", provenance={})
        data.decide(data.queue_items("open")[0].id, "background", who="anna", why="review")
    for folder in folders:
        (folder / "boxes.csv").write_text(HEADER + "0,BIRD,4,6,3,2\n2,BIRD,4,6,3,2\n")
    again = import_(tmp_path / "in", "--out", tmp_path / "data", "--test", "C")
    assert again["labelled"] == ["A"]
    assert again["splits"]["train"]["boxes"] == 2
    assert sorted(boxes(tmp_path / "data", "A")) == [0, 2]
    assert sorted(boxes(tmp_path / "data", "B")) == [1]
    assert boxes(tmp_path / "data", "C") == {}
    assert import_(tmp_path / "in", "--out", tmp_path / "data", "--test", "C")["labelled"] == []


def test_a_name_with_brackets_is_matched_by_itself(tmp_path: Path) -> None:
    clip(tmp_path / "in", "north [wide] 1")
    clip(tmp_path / "in", "east")
    splits = import_(tmp_path / "in", "--out", tmp_path / "data", "--test", "north [wide] 1")["splits"]
    assert (splits["train"]["sequences"], splits["test"]["sequences"]) == (1, 1)


def test_label_files_may_leave_the_label_out_and_number_frames_as_tables_do(tmp_path: Path) -> None:
    clip(tmp_path / "in", "A", rows=None)
    (tmp_path / "in" / "A" / "boxes.csv").write_text("frame,x,y,width,height\n2.0,4,6,3,2\n")
    import_(tmp_path / "in", "--out", tmp_path / "data")
    assert boxes(tmp_path / "data", "A") == {2: [(5.5, 7.0, 3, 2, "target")]}


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ("6,D,4,6,3,2", "row 3: frame 6 is not there"),
        ("0,D,40,6,3,2", "row 3: the centre .41.5, 7. lies outside the frame .30x20."),
        ("0,D,-4,6,3,2", "row 3: the centre"),
        ("0,D,4,6,3,", "row 3: x, y, width and height must be numbers"),
        ("0,D,4,6,3,0", "row 3: a box needs a width and a height"),
        ("0,D,4,inf,3,2", "row 3: a box needs"),
        ("x,D,4,6,3,2", "row 3: 'x' is no frame number"),
        ("1.5,D,4,6,3,2", "row 3: '1.5' is no frame number"),
        ("nan,D,4,6,3,2", "row 3: 'nan' is no frame number"),
        ("-1,D,4,6,3,2", "row 3: frame -1"),
        ("0,,4,6,3,2", "row 3: no label"),
    ],
)
def test_a_bad_label_names_file_and_row_and_writes_nothing(tmp_path: Path, row: str, part: str) -> None:
    source = clip(tmp_path, "B", f"0,D,4,6,3,2\n{row}\n")
    with pytest.raises(InputError, match=rf"boxes\.csv, {part}") as caught:
        import_(source, "--out", tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_label_after_the_end_of_a_video_is_found_when_it_was_read(tmp_path: Path) -> None:
    source = drone_ir(tmp_path / "drone", "A", "B")
    (source / "labels" / "B_LABELS.csv").write_text(HEADER + "6,BIRD,5,7,3,2\n")
    with pytest.raises(InputError, match=r"B_LABELS\.csv, row 2: frame 6 is not there"):
        import_(source, "--out", tmp_path / "data")
    with Dataset.open(tmp_path / "data") as data:
        assert [s.name for s in data.sequences()] == ["A"]
    assert [p.name for p in (tmp_path / "data" / "frames").iterdir()] == ["A.npy"]


def test_a_corrupt_frame_stops_the_import_and_the_next_one_goes_on(tmp_path: Path) -> None:
    clip(tmp_path / "in", "A")
    folder = tmp_path / "in" / "B"
    folder.mkdir()
    for index, pixels in enumerate(stack(7)):
        cv2.imwrite(str(folder / f"{index}.png"), pixels)
    whole = (folder / "4.png").read_bytes()
    (folder / "4.png").write_bytes(whole[:-30])
    with pytest.raises(InputError, match=r"B/4\.png: truncated"):
        import_(tmp_path / "in", "--out", tmp_path / "data")
    (folder / "4.png").write_bytes(whole)
    answer = import_(tmp_path / "in", "--out", tmp_path / "data")
    assert (answer["added"], answer["there"]) == (["B"], ["A"])


def test_rows_without_a_box_byte_order_mark_and_more_columns_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text(
        "\ufeffid, frame,label,x,y,width,height\n1, 0,D,1,1,2,2\n2,1,,,,,\n3,2,D,NaN,NaN,NaN,NaN\n\n4,3,D,1,1,2,2\n",
        "utf-8",
    )
    assert [(label.row, label.frame) for label in read_labels(path, 0)] == [(2, 0), (6, 3)]
    path.write_text("frame,x,y,w,h\n")
    with pytest.raises(InputError, match=r"l\.csv: no column 'width', 'height'; "):
        read_labels(path, 0)
    path.write_bytes(b"\xff\xfe\x00frame")
    with pytest.raises(InputError, match=r"l\.csv"):
        read_labels(path, 0)


numbers = st.floats(0.5, 50, allow_nan=False)


@settings(deadline=None)
@given(st.floats(-20, 300), st.floats(-20, 300), numbers, numbers, st.sampled_from([0, 1]))
def test_centre_is_the_corner_less_the_origin_and_half_the_size(
    tmp_path_factory: pytest.TempPathFactory, x: float, y: float, w: float, h: float, origin: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "one.csv"
    path.write_text(f"{HEADER}3,D,{x!r},{y!r},{w!r},{h!r}\n")
    box = read_labels(path, origin)[0].box
    assert (box.x, box.y, box.w, box.h) == pytest.approx((x - origin + w / 2, y - origin + h / 2, w, h))


def test_sequences_of_all_kinds_are_found_at_any_depth(tmp_path: Path) -> None:
    clip(tmp_path / "day" / "north", "A")
    clip(tmp_path / "day", "B", None)
    np.save(tmp_path / "c10.npy", stack(1))
    np.save(tmp_path / "c9.npy", stack(2))
    (tmp_path / "c9.boxes.csv").write_text(HEADER)
    folder = tmp_path / "E" / "frames"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "0.png"), stack(3)[0])
    (tmp_path / "E" / "boxes.csv").write_text(HEADER)
    (tmp_path / "readme.txt").write_text("x")
    (tmp_path / ".hidden").mkdir()
    np.save(tmp_path / ".hidden" / "frames.npy", stack(4))
    Dataset.create(tmp_path / "data").close()
    found = find_sequences([tmp_path])
    assert [(f.name, f.layout, f.labels and str(f.labels.relative_to(tmp_path))) for f in found] == [
        ("c9", "boxes-csv", "c9.boxes.csv"),
        ("c10", "frames", None),
        ("B", "frames", None),
        ("A", "boxes-csv", "day/north/A/boxes.csv"),
        ("E", "boxes-csv", "E/boxes.csv"),
    ]


def test_what_is_not_clear_is_asked_for_and_not_guessed(tmp_path: Path) -> None:
    def fails(*parts: str, source: Path = tmp_path, layout: str = "auto") -> None:
        with pytest.raises(InputError) as caught:
            find_sequences([source], layout)
        for part in parts:
            assert part in str(caught.value)

    fails("no sequence in this folder")
    fails("no such file", source=tmp_path / "gone")
    fails("choose one of", layout="davis")
    Dataset.create(tmp_path / "data").close()
    fails("a data set already", source=tmp_path / "data")
    both = clip(tmp_path / "both", "A")
    (tmp_path / "both" / "A_LABELS.csv").write_text(HEADER)
    fails("two label files", source=both)
    assert find_sequences([both], "drone-ir")[0].origin == 1
    fails("A_LABELS.csv is not there", source=clip(tmp_path / "plain", "A"), layout="drone-ir")
    fails("a second sequence named 'A'", layout="frames")
    drone = drone_ir(tmp_path / "drone", "X", "Y")
    (drone / "labels" / "Y_LABELS.csv").unlink()
    fails("Y_LABELS.csv is not there", "--format frames", source=drone)
    assert [f.layout for f in find_sequences([drone], "frames")] == ["frames", "frames"]
    shared = tmp_path / "shared"
    shared.mkdir()
    for name in ("a", "b"):
        np.save(shared / f"{name}.npy", stack())
    (shared / "boxes.csv").write_text(HEADER)
    fails("beside several sequences", "a.boxes.csv", source=shared)
    (shared / "b.npy").unlink()
    assert find_sequences([shared])[0].labels is not None
    cv2.imwrite(str(shared / "0.png"), stack()[0])
    fails("holds another one (a.npy)", source=shared)


def test_globs_choose_splits_and_a_group_stays_in_one(tmp_path: Path) -> None:
    for name in ("hill_1", "hill_2", "lake_1", "sea_1"):
        clip(tmp_path / "in", name)
    out = tmp_path / "data"
    with pytest.raises(InputError, match=r"group 'hill' would be in 'val' and 'train' \(hill_1\)"):
        import_(tmp_path / "in", "--out", out, "--val", "hill_2", "--group", "^([a-z]+)")
    import_(tmp_path / "in", "--out", out, "--val", "lake*", "--test", "sea*", "--group", "^([a-z]+)")
    with Dataset.open(out) as data:
        data.check_splits()
        assert {s.name: (s.split, s.group) for s in data.sequences()} == {
            "hill_1": ("train", "hill"),
            "hill_2": ("train", "hill"),
            "lake_1": ("val", "lake"),
            "sea_1": ("test", "sea"),
        }
    clip(tmp_path / "more", "lake_2")
    with pytest.raises(InputError, match="group 'lake' would be in 'test' and 'val'"):
        import_(tmp_path / "more", "--out", out, "--test", "lake_2", "--group", "^([a-z]+)")
    import_(tmp_path / "more", "--out", out, "--group", "^([a-z]+)")  # by default it goes to where its group is
    with Dataset.open(out) as data:
        assert data.sequence("lake_2").split == "val"


def test_wrong_options_of_splits_are_named() -> None:
    for call, part in (
        (lambda: split_by_globs(["a"], ["b*"], []), "--val 'b\\*': matches no sequence"),
        (lambda: split_by_globs(["a"], ["a"], ["*"]), "matches both"),
        (lambda: group_of("a_1", "(x)"), "does not match"),
        (lambda: group_of("a_1", "a"), "no match group"),
        (lambda: group_of("a_1", "(a"), "not a regular expression"),
        (lambda: check_groups({"a": "g"}, {"a": "val"}, {"g": "test"}), "in the data set"),
        (lambda: classes_of([], {"a": "target"}), "there are none"),
    ):
        with pytest.raises(InputError, match=part):
            call()


groups = st.sets(st.text("abcdef0123456789_", min_size=1, max_size=8), min_size=1, max_size=30)


@given(groups, st.data())
def test_an_interrupted_import_gives_the_same_splits_when_it_goes_on(names: set[str], data: st.DataObject) -> None:
    whole = split_by_hash(sorted(names), {})
    part = data.draw(st.sets(st.sampled_from(sorted(names))))
    assert split_by_hash(sorted(names), {name: whole[name] for name in part}) == whole
    assert ({"train", "val"} if len(names) > 1 else {"train"}) <= set(whole.values())
    if len(names) >= 10:
        assert min(list(whole.values()).count(split) for split in ("train", "val", "test")) >= 2


def test_many_groups_are_split_about_80_10_10() -> None:
    splits = list(split_by_hash([f"scene {i}" for i in range(4000)], {}).values())
    assert [splits.count(s) / 4000 for s in ("train", "val", "test")] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_the_command_says_what_it_recognised_and_did(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, [str(clip(tmp_path, "B")), "--out", str(tmp_path / "data")], catch_exceptions=False
    )
    assert "boxes-csv: 1 sequence with boxes.csv, boxes 0-based" in result.stdout
    assert "BIRD -> target" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "│ train" in line)
    assert row.split()[3:8:2] == ["1", "6", "1"]


def test_bad_input_is_one_line_on_stderr_and_exit_code_2(tmp_path: Path) -> None:
    code = """
import typer
from irdim.command_line import run_command
from irdim_train.commands.import_ import command
app = typer.Typer()
app.command()(command)
run_command(app)
"""
    call = [sys.executable, "-c", code, str(clip(tmp_path, "B", "9,D,4,6,3,2\n")), "--out", str(tmp_path / "data")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {tmp_path}/B/boxes.csv, row 2: frame 9 is not there")
