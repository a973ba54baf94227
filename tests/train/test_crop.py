import json
import shutil

import numpy as np
import pytest
from conftest import make_data

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.differencing import InputSpec, high_pass, network_input
from irdim.errors import InputError
from irdim.history import History
from irdim.patches import Patches
from irdim.sources import Frame
from irdim_train.crop import crop


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
