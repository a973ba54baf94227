"""Cropping again into a patch file that is there."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from rendered import make_data, render_sequence
from typer.testing import CliRunner

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.patches import Patches
from irdim.sources import Frame
from irdim_train.cli import app
from irdim_train.crop import crop

OPTIONS = {"size": 32, "frame_step": 1, "register": False, "hard_background": 0.5}
FILES = ("stacks.npy", "table.npy", "boxes.npy", "patches.json")
CROP = (
    "import sys, os; from pathlib import Path; from irdim.dataset import Dataset; import irdim_train.patch_writer as w;"
    "from irdim_train.crop import crop\n{}\n"
    "with Dataset.open(Path(sys.argv[1])) as data:"
    " crop(data, Path(sys.argv[2]), size=32, frame_step=1, register=False, hard_background=0.5)"
)


def add_sequences(data: Dataset, numbers) -> None:
    for i in numbers:
        frames, boxes = render_sequence(i)
        pushed = [Frame(t, t / 25, f) for t, f in enumerate(frames)]
        data.add_sequence(f"seq{i}", pushed, boxes, split="train", group=f"scene{i}", source="rendered", who="tests")


def content(path: Path) -> dict:
    """(sequence, frame, top, left) to all that a live patch says, but for when it was written and where its pixels lie."""
    patches = Patches.open(path)
    found = {}
    for i, row in enumerate(patches.table):
        boxes = patches.boxes[patches.boxes["patch"] == i].copy()
        boxes["patch"] = 0
        row["stack"] = row["iteration"] = 0
        key = tuple(int(row[name]) for name in ("sequence", "frame", "top", "left"))
        found[key] = (row.tobytes(), boxes.tobytes(), patches.stacks[i].tobytes())
    assert len(found) == len(patches.table)
    return found


def bytes_of(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def cropped_once(small_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("cropped") / "p"
    with Dataset.open(small_data) as data:
        crop(data, out, **OPTIONS)
    return out


@pytest.fixture
def cropped(cropped_once, tmp_path):
    """Patches of small_data, to be changed."""
    return shutil.copytree(cropped_once, tmp_path / "p")


@pytest.fixture
def grown(tmp_path):
    """A data set, its patches, and the data set a turn of the loop later: new sequences, a box moved, one added, one taken away."""
    make_data(tmp_path / "data", 4)
    with Dataset.open(tmp_path / "data") as data:
        crop(data, tmp_path / "p", **OPTIONS)
        before = bytes_of(tmp_path / "p")
        data.begin_iteration("field logs")
        add_sequences(data, (10, 11))
        sequence = data.sequence("seq0")
        (first, *_), (second, *_) = (data.boxes(sequence)[frame] for frame in (20, 25))
        data.supersede(first.id, Box(first.x + 1, first.y, 5, 5), who="tests", why="badly placed")
        data.supersede(second.id, None, who="tests", why="no target")
        data.add_box(sequence, 30, Box(20, 20, 4, 4), who="tests", why="missed")
    return tmp_path, before


def test_cropping_again_gives_what_cropping_afresh_gives_and_leaves_the_old_stacks(grown):
    folder, before = grown
    with Dataset.open(folder / "data") as data:
        change = crop(data, folder / "p", **OPTIONS)
        fresh = crop(data, folder / "fresh", **OPTIONS)
    assert content(folder / "p") == content(folder / "fresh")
    assert change["patches"] == fresh["patches"] == change["kept"] + change["relabelled"] + change["added"]
    for name in ("stacks.npy", "table.npy", "boxes.npy"):
        old = np.load(BytesIO(before[name]))
        assert (np.load(folder / "p" / name)[: len(old)] == old).all()
    table = np.load(folder / "p" / "table.npy")
    rows = json.loads(before["patches.json"])["rows"]["table"]
    assert set(table["iteration"][:rows]) == {0}
    assert set(table["iteration"][rows:]) == {1}
    assert change["kept"] > 0.95 * rows
    assert 1 <= change["relabelled"] + change["retired"] <= 10
    assert [c["added"] for c in json.loads((folder / "p" / "patches.json").read_text())["changes"]] == [
        rows,
        change["added"],
    ]


def test_a_moved_box_keeps_its_pixels(tmp_path):
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        crop(data, tmp_path / "p", **OPTIONS)
        stacks = len(np.load(tmp_path / "p" / "stacks.npy", mmap_mode="r"))
        for boxes in data.boxes(data.sequence("seq0")).values():
            for box in boxes:
                data.supersede(box.id, Box(box.x + 0.5, box.y + 0.5, 6, 6), who="tests", why="badly placed")
        change = crop(data, tmp_path / "p", **OPTIONS)
    assert change["relabelled"] > 30
    assert change["added"] <= 8
    assert len(np.load(tmp_path / "p" / "stacks.npy", mmap_mode="r")) == stacks + change["added"]


def test_a_retired_stack_comes_back_without_its_pixels_being_cut_again(tmp_path):
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        crop(data, tmp_path / "p", **OPTIONS)
        sequence = data.sequence("seq0")
        (box,) = data.boxes(sequence)[20]
        gone = data.supersede(box.id, None, who="tests", why="doubt")
        assert gone
        retired = crop(data, tmp_path / "p", **OPTIONS)["retired"]
        again = Box(box.x, box.y, box.w, box.h)
        data.add_box(sequence, 20, again, who="tests", why="a target after all")
        change = crop(data, tmp_path / "p", **OPTIONS)
    assert retired >= 1
    assert (change["added"], change["relabelled"]) == (0, retired)


def test_where_nothing_is_new_not_a_byte_changes(cropped, small_data):
    before = bytes_of(cropped)
    with Dataset.open(small_data) as data:
        change = crop(data, cropped, **OPTIONS)
    assert bytes_of(cropped) == before
    assert (change["added"], change["relabelled"], change["retired"]) == (0, 0, 0)
    assert change["kept"] == change["patches"]


def test_what_was_added_is_learnt_by_a_run_that_goes_on(grown, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # a command that is there to be copied is not broken
    data, patches = grown[0] / "data", (grown[0] / "p").rename(grown[0] / "patches of [day] 1")
    for hint in (True, False):  # the second time nothing is new
        words = [
            "crop",
            str(data),
            "--out",
            str(patches),
            "--size",
            "32",
            "--frame-step",
            "1",
            "--no-register",
            "--hard-background",
            "0.5",
        ]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert f"next: irdim-train fit '{patches}'" in done.stdout
        assert ("--from RUN" in done.stdout) == hint


@pytest.mark.parametrize("moment", ["while it cuts", "before the description"])
def test_a_kill_leaves_the_old_patch_file_and_the_next_crop_goes_on(grown, moment):
    folder, _ = grown
    old = content(folder / "p")
    size = (folder / "p" / "stacks.npy").stat().st_size
    fault = "" if moment == "while it cuts" else "w.write_json = lambda *a: os.kill(os.getpid(), 9)"
    command = [sys.executable, "-c", CROP.format(fault), str(folder / "data"), str(folder / "p")]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while moment == "while it cuts" and process.poll() is None and time.monotonic() < deadline:
        if (folder / "p" / "stacks.npy").stat().st_size > size + 50_000:
            process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert (folder / "p" / "stacks.npy").stat().st_size > size
    assert content(folder / "p") == old
    with Dataset.open(folder / "data") as data:
        crop(data, folder / "p", **OPTIONS)
        crop(data, folder / "fresh", **OPTIONS)
    assert content(folder / "p") == content(folder / "fresh")


def test_an_interrupt_leaves_the_old_bytes(grown):
    folder, before = grown

    def stop(sequence):
        if sequence.name == "seq11":
            raise KeyboardInterrupt

    with Dataset.open(folder / "data") as data, pytest.raises(KeyboardInterrupt):
        crop(data, folder / "p", **OPTIONS, progress=stop)
    assert bytes_of(folder / "p") == before


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"size": 64}, "cropped with size 32, not 64"),
        ({"frame_step": 2}, "cropped with frame step 1, not 2"),
        ({"background": 2.0}, "cropped with background per target 1.0, not 2.0"),
        ({"seed": 5}, "cropped with seed 0, not 5"),
    ],
)
def test_other_options_do_not_mix(small_data, cropped, other, message):
    with Dataset.open(small_data) as data, pytest.raises(InputError, match=message):
        crop(data, cropped, **{**OPTIONS, **other})


def test_fresh_replaces(small_data, cropped, tmp_path):
    with Dataset.open(small_data) as data:
        crop(data, cropped, **{**OPTIONS, "size": 64}, fresh=True)
        crop(data, tmp_path / "afresh", **{**OPTIONS, "size": 64})
    assert bytes_of(cropped) == bytes_of(tmp_path / "afresh")


def test_a_deeper_sequence_does_not_fit_in(tmp_path):
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        crop(data, tmp_path / "p", **OPTIONS)
    patches = np.lib.format.open_memmap(tmp_path / "p" / "stacks.npy", mode="r")
    np.save(tmp_path / "p" / "stacks.npy", (patches // 16).astype(np.uint8))
    with Dataset.open(tmp_path / "data") as data, pytest.raises(InputError, match=r"seq0: uint16, .* holds uint8"):
        crop(data, tmp_path / "p", **OPTIONS)


def test_one_writer_at_a_time(small_data, cropped):
    held = os.open(cropped, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with Dataset.open(small_data) as data:
        with pytest.raises(InputError, match="another process writes"):
            crop(data, cropped, **OPTIONS)
        os.close(held)
        crop(data, cropped, **OPTIONS)


def test_a_patch_file_of_version_1_says_what_to_do(small_data, cropped):
    description = json.loads((cropped / "patches.json").read_text())
    (cropped / "patches.json").write_text(json.dumps({**description, "version": 1}))
    with pytest.raises(InputError, match="version 1, this irdim reads version 2; crop again with --fresh"):
        Patches.open(cropped)
    with Dataset.open(small_data) as data, pytest.raises(InputError, match="crop again with --fresh"):
        crop(data, cropped, **OPTIONS)


def test_other_frames_at_the_same_place_are_not_mixed_in(tmp_path):
    """A data set made anew has the same numbers for other sequences."""
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        crop(data, tmp_path / "patches", size=32, frame_step=1, register=False)
    shutil.rmtree(tmp_path / "data")
    with Dataset.create(tmp_path / "data") as data:
        for i, split in enumerate(("train", "val")):
            frames, boxes = render_sequence(50 + i)
            given = [Frame(t, t / 25, f) for t, f in enumerate(frames)]
            data.add_sequence(f"n{i}", given, boxes, split=split, group=f"g{i}", source="s", who="t", interval=1 / 25)
        with pytest.raises(InputError, match="other frames than this data set has now"):
            crop(data, tmp_path / "patches", size=32, frame_step=1, register=False)
        crop(data, tmp_path / "patches", size=32, frame_step=1, register=False, fresh=True)


def test_a_data_set_inside_is_never_thrown_away(tmp_path):
    make_data(tmp_path / "first", 3)
    with Dataset.open(tmp_path / "first") as data:
        crop(data, tmp_path / "patches", size=32, frame_step=1, register=False)
    make_data(tmp_path / "patches" / "data", 3)
    with Dataset.open(tmp_path / "patches" / "data") as data, pytest.raises(InputError, match="holds the data set"):
        crop(data, tmp_path / "patches", size=32, frame_step=1, register=False, fresh=True)
    assert (tmp_path / "patches" / "data" / "dataset.sqlite").is_file()
