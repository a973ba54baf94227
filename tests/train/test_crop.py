import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered import make_data, render_sequence
from typer.testing import CliRunner

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.differencing import InputSpec, high_pass, network_input
from irdim.errors import InputError
from irdim.history import History
from irdim.patches import BOXES, Patches
from irdim.sources import Frame
from irdim_train.assignment import assign_cells
from irdim_train.cli import app
from irdim_train.crop import crop
from irdim_train.places import Key, around_targets, of_background, structure


def stack_of(data, sequence, index, spec):
    history = History(spec)
    frames = data.frames(sequence)
    for i in range(index + 1):
        stack = history.push(Frame(i, float(i), frames[i]))
    return stack


@pytest.mark.parametrize("register", [False, True])
def test_a_patch_is_the_frames_input_cut_out(small_data, tmp_path, register):
    """Same noise scale, same alignment: away from its rim, a patch's input is that of the whole frame."""
    with Dataset.open(small_data) as data:
        crop(data, tmp_path / "p", size=64, frame_step=2, register=register)
        patches = Patches.open(tmp_path / "p")
        spec = InputSpec("difference+frame", 2, register)
        for row in (0, len(patches.table) // 2, len(patches.table) - 1):
            cut = patches.table[row]
            sequence = next(s for s in data.sequences() if s.id == cut["sequence"])
            stack = stack_of(data, sequence, cut["frame"], spec)
            whole = network_input(stack.frames, spec, stack.shifts)
            patch = network_input(patches.stacks[row], spec, cut["shift"], patches.sigma(spec, np.array([row]))[0])
            top, left = cut["top"], cut["left"]
            inside = (slice(None), slice(11, -11), slice(11, -11))
            assert np.abs(whole[:, top : top + 64, left : left + 64] - patch)[inside].max() < 2e-3


def test_targets_lie_anywhere_in_their_patches_and_boxes_fit(small_patches):
    patches = Patches.open(small_patches)
    boxes = patches.boxes
    assert (boxes["x"] >= 0).all()
    assert (boxes["x"] < 32).all()
    for axis in ("x", "y"):  # every phase of the grid, from rim to rim
        counts = np.histogram(boxes[axis], bins=8, range=(0, 32))[0]
        assert counts.min() > len(boxes) / 40
    brightness = []
    for b in boxes[:40]:
        newest = high_pass(patches.stacks[b["patch"]][0].astype(np.float32))
        brightness.append(newest[int(b["y"]), int(b["x"])])
    assert np.median(brightness) > 60  # the targets are 120 counts high


def test_background_patches_hold_no_target_and_test_sequences_give_none(small_patches, small_data):
    patches = Patches.open(small_patches)
    assert patches.description["background"] == pytest.approx(patches.description["with_target"], rel=0.2)
    with Dataset.open(small_data) as data:
        test_ids = {s.id for s in data.sequences("test")}
    assert not test_ids & set(patches.table["sequence"].tolist())


def test_the_same_seed_cuts_the_same_patches(small_data, tmp_path):
    with Dataset.open(small_data) as data:
        for name in ("a", "b"):
            crop(data, tmp_path / name, size=16, frame_step=1, register=True, seed=3)
    for file in ("stacks.npy", "table.npy", "boxes.npy", "patches.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_sequence_without_targets_gives_background(tmp_path):
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        sequence = data.sequence("seq0")
        for boxes in data.boxes(sequence).values():
            for box in boxes:
                data.supersede(box.id, None, who="tests", why="no target")
        crop(data, tmp_path / "p", size=32, frame_step=1, register=False)
    table = Patches.open(tmp_path / "p").table
    assert (table["sequence"] == sequence.id).sum() == sequence.length - 3


def test_patches_larger_than_the_frames_are_refused_and_leave_nothing(small_data, tmp_path):
    with (
        Dataset.open(small_data) as data,
        pytest.raises(InputError, match="frames of 120x96 are smaller than a patch of 128"),
    ):
        crop(data, tmp_path / "p", size=128, frame_step=1, register=False)
    assert list(tmp_path.iterdir()) == []


def test_a_size_off_the_grid_an_empty_data_set_and_too_long_a_step_are_refused(small_data, tmp_path):
    with Dataset.open(small_data) as data:
        with pytest.raises(InputError, match="patch size 20: must be a multiple of 8"):
            crop(data, tmp_path / "p", size=20, frame_step=1, register=False)
        with pytest.raises(InputError, match="no frame has 301 frames of history"):
            crop(data, tmp_path / "p", size=32, frame_step=100, register=False)
    with Dataset.create(tmp_path / "empty") as data, pytest.raises(InputError, match="no train or val sequences"):
        crop(data, tmp_path / "p", size=32, frame_step=1, register=False)


def test_without_labels_it_says_how_to_get_some(tmp_path):
    frames, _ = render_sequence(0)
    with Dataset.create(tmp_path / "data") as data:
        for name, split in (("a", "train"), ("b", "val")):
            given = [Frame(i, i / 25, f + (name == "b")) for i, f in enumerate(frames)]
            data.add_sequence(name, given, {}, split=split, group=name, source="x", who="tests")
    done = CliRunner().invoke(app, ["crop", str(tmp_path / "data"), "--size", "32", "--out", str(tmp_path / "p")])
    assert "irdim-train label" in done.output + str(done.exception or "")
    with Dataset.open(tmp_path / "data") as data:
        with pytest.raises(InputError, match=r"no labels to cut around; irdim-train label"):
            crop(data, tmp_path / "q", size=32, frame_step=1, register=False, background=0)
        with pytest.raises(InputError, match="no frame has 301 frames of history"):  # labels would not help
            crop(data, tmp_path / "q", size=32, frame_step=100, register=False, background=0)


def test_labels_on_frames_without_history_are_said_to_be_too_early(tmp_path):
    frames, _ = render_sequence(0)
    with Dataset.create(tmp_path / "data") as data:
        given = [Frame(i, i / 25, f) for i, f in enumerate(frames)]
        data.add_sequence("a", given, {0: [Box(20, 20, 4, 4)]}, split="train", group="a", source="x", who="tests")
        with pytest.raises(InputError, match="no labelled frame has 4 frames of history"):
            crop(data, tmp_path / "p", size=32, frame_step=1, register=False, background=0)


def test_a_folder_that_is_not_ours_is_not_replaced(small_data, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with Dataset.open(small_data) as data, pytest.raises(InputError, match="is no irdim-patches"):
        crop(data, tmp_path / "thesis", size=32, frame_step=1, register=False)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


@pytest.mark.parametrize("fault", ["missing", "truncated", "version", "pickled"])
def test_a_broken_patch_file_is_named(small_patches, tmp_path, fault):
    broken = shutil.copytree(small_patches, tmp_path / "p")
    if fault == "missing":
        (broken / "table.npy").unlink()
    elif fault == "truncated":
        with (broken / "stacks.npy").open("r+b") as file:
            file.truncate(5000)
    elif fault == "pickled":
        np.save(broken / "table.npy", np.array([{"a": 1}]), allow_pickle=True)
    else:
        description = json.loads((broken / "patches.json").read_text())
        (broken / "patches.json").write_text(json.dumps({**description, "version": 9}))
    with pytest.raises(InputError, match=str(broken)):
        Patches.open(broken)


def test_interference_boxes_travel_as_what_they_are(tmp_path):
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        data.add_box(data.sequence("seq0"), 20, Box(50, 50, 4, 4, "interference"), who="tests", why="flicker")
        crop(data, tmp_path / "p", size=80, frame_step=1, register=False)
    assert set(Patches.open(tmp_path / "p").boxes["label"]) == {0, 1}


def test_a_region_to_ignore_reaches_into_every_patch_that_it_overlaps(tmp_path):
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        for frame in range(40):
            data.add_box(data.sequence("seq0"), frame, Box(60, 48, 120, 96, "ignore"), who="tests", why="undecided")
        crop(data, tmp_path / "p", size=32, frame_step=1, register=False)
    patches = Patches.open(tmp_path / "p")
    cut_from_it = np.flatnonzero(patches.table["sequence"] == patches.table["sequence"][0])
    ignored = patches.boxes["patch"][patches.boxes["label"] == 2]
    assert set(cut_from_it) == set(ignored)
    assert set(ignored) <= set(
        patches.boxes["patch"][patches.boxes["label"] == 0]
    )  # no background where nothing can be learnt


def test_recordings_with_a_json_sidecar_are_not_taken_for_patches(small_data, tmp_path):
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "cam.y16").write_bytes(b"frames")
    (tmp_path / "recordings" / "cam.json").write_text('{"width": 3}')
    with Dataset.open(small_data) as data, pytest.raises(InputError, match="is no irdim-patches"):
        crop(data, tmp_path / "recordings", size=32, frame_step=1, register=False)
    assert (tmp_path / "recordings" / "cam.y16").read_bytes() == b"frames"


def test_what_a_kill_left_is_put_back_or_removed(small_data, tmp_path):
    with Dataset.open(small_data) as data:
        crop(data, tmp_path / "p", size=32, frame_step=1, register=False)
        (tmp_path / ".p.abcdefgh.partial").mkdir()
        (tmp_path / "p").rename(tmp_path / ".p.abcdefgh.partial" / "old")  # killed between the two renames
        with pytest.raises(InputError, match="multiple of 8"):
            crop(data, tmp_path / "p", size=20, frame_step=1, register=False)
        with pytest.raises(InputError, match="smaller than a patch"):
            crop(data, tmp_path / "p", size=512, frame_step=1, register=False, fresh=True)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert len(Patches.open(tmp_path / "p").table)


@settings(max_examples=6, deadline=None)
@given(
    size=st.sampled_from([16, 24, 32, 64, 80]),
    frame_step=st.integers(1, 4),
    background=st.sampled_from([0.0, 0.3, 2.0]),
    hard=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_the_reader_gives_what_a_slow_cut_from_the_frames_gives(
    small_data, tmp_path_factory, size, frame_step, background, hard, seed
):
    out = tmp_path_factory.mktemp("cut") / "p"
    with Dataset.open(small_data) as data:
        options = {"size": size, "frame_step": frame_step, "background": background, "hard_background": hard}
        crop(data, out, **options, seed=seed, register=False)
        patches = Patches.open(out)
        sequences = {s.id: s for s in data.sequences()}
        frames = {i: np.array(data.frames(s)) for i, s in sequences.items()}
        labels = {i: data.boxes(s) for i, s in sequences.items()}
    assert patches.size == size
    for i in np.random.default_rng(seed).permutation(len(patches.table))[:50]:
        cut = patches.table[i]
        rows, columns = slice(cut["top"], cut["top"] + size), slice(cut["left"], cut["left"] + size)
        of_sequence = frames[cut["sequence"]]
        slow = np.stack([of_sequence[cut["frame"] - k * frame_step][rows, columns] for k in range(4)])
        assert (patches.stacks[i] == slow).all()
        inside = patches.boxes[patches.boxes["patch"] == i]
        there = [
            b
            for b in labels[cut["sequence"]].get(cut["frame"], [])
            if cut["left"] <= b.x < cut["left"] + size and cut["top"] <= b.y < cut["top"] + size
        ]
        assert inside["box"].tolist() == [b.id for b in there]
        assert inside["x"] == pytest.approx([b.x - cut["left"] for b in there], abs=1e-4)
        assert inside["y"] == pytest.approx([b.y - cut["top"] for b in there], abs=1e-4)


@settings(deadline=None)
@given(st.data())
def test_any_choice_of_stacks_is_that_of_the_array(small_patches, drawn):
    patches, whole = Patches.open(small_patches), np.load(small_patches / "stacks.npy")
    number = st.integers(-len(whole), len(whole) - 1)
    index = drawn.draw(
        st.one_of(number, st.lists(number).map(lambda i: np.array(i, int)), st.slices(len(whole))), label="index"
    )
    assert (patches.stacks[index] == whole[index]).all()
    rows = np.array(drawn.draw(st.lists(st.integers(0, len(whole) - 1), max_size=5), label="rows"), int)
    out = np.full((len(rows), *whole.shape[1:]), 7, whole.dtype)
    patches.stacks.read(rows, out)
    assert (out == whole[rows]).all()


def test_stacks_cut_off_while_they_are_read_are_an_error_not_a_crash(small_patches, tmp_path):
    copy = shutil.copytree(small_patches, tmp_path / "p")
    patches = Patches.open(copy)
    with (copy / "stacks.npy").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(InputError, match="was cut off"):
        patches.stacks[5:9]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background": -1.0}, "--background -1: must be 0 to 100"),
        ({"background": float("nan")}, "--background nan: must be 0 to 100"),
        ({"background": 1e9}, "must be 0 to 100"),
        ({"hard_background": 1.5}, "--hard-background 1.5: must be a share"),
        ({"hard_background": float("nan")}, "--hard-background nan: must be a share"),
    ],
)
def test_proportions_that_make_no_sense_are_refused(small_data, tmp_path, options, message):
    with Dataset.open(small_data) as data, pytest.raises(InputError, match=message):
        crop(data, tmp_path / "p", size=32, frame_step=1, register=False, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("background", [0.0, 0.5, 3.0])
def test_the_proportion_of_background_is_the_chosen_one(small_data, tmp_path, background):
    with Dataset.open(small_data) as data:
        result = crop(data, tmp_path / "p", size=16, frame_step=1, register=False, background=background)
    sequences = result["sequences"] if background else 0  # one more a sequence
    assert result["background"] == pytest.approx(background * result["with_target"] + sequences, rel=0.15)


def edge_of_cloud() -> np.ndarray:
    """(256, 256) uint16: noise, and one soft edge from row 100 on; a dead pixel far from it."""
    rng = np.random.default_rng(0)
    step = 300 / (1 + np.exp(-(np.arange(256) - 104.0) / 3))
    frame = np.rint(1000 + step[:, None] + rng.normal(0, 12, (256, 256))).astype(np.uint16)
    frame[220, 40] = 16383
    return frame


def test_hard_background_lies_on_edges_more_often_the_steeper_they_are_and_never_on_a_target():
    frame, size = edge_of_cloud(), 32
    target = Box(60, 104, 5, 5)

    def drawn(hard: float) -> list:
        keys: list[Key] = [(0, 1, i) for i in range(300)]
        return [p for key in keys for p in of_background([target], frame.shape, size, key, 1.0, hard, lambda: frame)]

    steep = structure(frame)
    means = {
        hard: np.array([steep[p.top : p.top + size, p.left : p.left + size].mean() for p in drawn(hard)])
        for hard in (0.0, 1.0)
    }
    assert means[1.0].mean() > 2.5 * means[0.0].mean()
    on_edge = {hard: np.mean([p.top - 10 < 104 < p.top + size + 10 for p in drawn(hard)]) for hard in (0.0, 1.0)}
    assert on_edge[1.0] > 0.9
    assert on_edge[0.0] < 0.4
    for place in drawn(1.0):
        assert not (place.left - 8 <= target.x < place.left + size + 8 and place.top - 8 <= 104 < place.top + size + 8)
    assert len({p.left for p in drawn(1.0)}) > 50  # anywhere along the edge
    assert sum(p.hard for p in drawn(0.5)) == pytest.approx(150, abs=30)


def test_hard_background_of_a_frame_without_any_structure_lies_anywhere():
    flat = np.full((64, 64), 1000, np.uint16)
    places = [p for i in range(50) for p in of_background([], (64, 64), 32, (0, 1, i), 1.0, 1.0, lambda: flat)]
    assert len(places) == 50
    assert not any(p.hard for p in places)


@settings(deadline=None)
@given(st.floats(34, 86), st.floats(34, 62), st.integers(0, 1000))
def test_a_target_that_moves_a_little_mostly_keeps_its_place(x, y, seed):
    kept = 0
    for frame in range(30):
        (before,) = around_targets([Box(x, y, 5, 5)], (96, 120), 64, (seed, 1, frame))
        (after,) = around_targets([Box(x + 0.5, y, 5, 5)], (96, 120), 64, (seed, 1, frame))
        kept += before == after
        assert 0 <= before.top <= y < before.top + 64 <= 96
        assert 0 <= before.left <= x < before.left + 64 <= 120
    assert kept > 20


def test_crop_counts_targets_that_share_a_cell(tmp_path):
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        sequence = data.sequence("seq0")
        for dx in (0, 2):
            data.add_box(sequence, 20, Box(44.5 + dx, 44.5, 4, 4), who="tests", why="a pair")
        pair = crop(data, tmp_path / "pair", size=80, frame_step=1, register=False, background=0)
        for i in range(24):
            data.add_box(sequence, 30, Box(44 + i / 10, 44, 2, 2), who="tests", why="a flock")
        flock = crop(data, tmp_path / "flock", size=80, frame_step=1, register=False, background=0)
    assert pair["moved"] >= 1
    assert pair["lost"] == 0
    assert flock["lost"] >= 1


def test_every_target_gets_a_cell_of_its_own_or_none():
    boxes = np.zeros(30, BOXES)
    boxes["x"], boxes["y"], boxes["w"], boxes["h"] = 20, 20, 3, 3
    cells, moved = assign_cells(boxes, (10, 10), 8)
    given_cells = [tuple(c) for c in cells.tolist() if c[0] >= 0]
    assert len(given_cells) == len(set(given_cells)) == 1 + moved.sum()
    assert given_cells[0] == (2, 2)
    assert (np.abs(np.array(given_cells) - 2) <= 1).all()
