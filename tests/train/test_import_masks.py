"""irdim-train import of images with masks or centre lists: the public layouts, and their known faults."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from samples import BOX, SIZE, fails, frames, import_, mask, nudt_mirsdt, stored, write

from irdim_train.importing.gallery import SPLIT_NAMES


def test_nudt_mirsdt_brings_its_sequences_and_splits(tmp_path: Path) -> None:
    root = nudt_mirsdt(tmp_path / "NUDT-MIRSDT")
    answer = import_(root)
    assert answer["layouts"] == [{"layout": "masks", "origin": None, "sequences": 3}]
    assert "images/ beside masks/" in answer["recognised"][0]
    assert "its splits: test 1, train 2" in answer["recognised"][0]
    assert any("no val split" in note for note in answer["notes"])
    boxes = {0: [BOX], 1: [BOX]}
    assert stored(root) == {
        "Sequence1": ("train", 2, boxes),
        "Sequence10": ("train", 2, boxes),
        "Sequence2": ("test", 2, boxes),
    }
    again = import_(root)
    assert (again["added"], again["there"]) == ([], ["Sequence1", "Sequence2", "Sequence10"])


def test_val_is_taken_from_the_train_of_a_layout_and_its_test_stays(tmp_path: Path) -> None:
    root = nudt_mirsdt(tmp_path / "NUDT-MIRSDT")
    import_(root, "--val", "*10")
    assert {name: split for name, (split, *_) in stored(root).items()} == {
        "Sequence1": "train",
        "Sequence10": "val",
        "Sequence2": "test",
    }


@pytest.mark.parametrize("word", SPLIT_NAMES)
def test_a_list_of_every_name_that_a_split_has_is_read(tmp_path: Path, word: str) -> None:
    root = nudt_mirsdt(tmp_path / "set")
    (root / "test.txt").unlink()
    (root / "train.txt").rename(root / f"{word}.txt")
    import_(root, "--val", "Sequence2")
    assert {name: content[0] for name, content in stored(root).items()} == {
        "Sequence1": SPLIT_NAMES[word],
        "Sequence2": "val",
        "Sequence10": SPLIT_NAMES[word],
    }


def test_lists_that_tear_a_sequence_apart_are_refused_unless_the_user_chooses(tmp_path: Path) -> None:
    root = nudt_mirsdt(tmp_path / "NUDT-MIRSDT")
    write(root / "test.txt", "Sequence1/Mix/00002.mat\nSequence2/Mix/00001.mat\n")
    fails(root, "Sequence1: its frames are in test and train")
    import_(root, "--test", "*2")
    assert stored(root)["Sequence1"][0] == "train"


def test_irdst_has_folders_of_sequences_below_images_and_masks(tmp_path: Path) -> None:
    root = tmp_path / "IRDST"
    for kind in ("real", "simulation"):
        for sequence in ("1", "2"):
            frames(root / kind / "images" / sequence, "0001", "0002")
            mask(root / kind / "masks" / sequence / "0001.png", (4, 6, 2, 3))
            mask(root / kind / "masks" / sequence / "0002.png")
    import_(root)
    assert {name: content[1:] for name, content in stored(root).items()} == dict.fromkeys(
        ("real_1", "real_2", "simulation_1", "simulation_2"), (2, {0: [BOX]})
    )


def sirst(root: Path) -> Path:
    for name, size in (("Misc_1", SIZE), ("Misc_2", (20, 40)), ("Misc_3", SIZE)):
        frames(root / "images", name, size=size)
        mask(root / "masks" / f"{name}_pixels0.png", (4, 6, 2, 3), size=size)
    return root


def test_single_images_of_sirst_are_each_a_sequence(tmp_path: Path) -> None:
    root = sirst(tmp_path / "SIRST")
    answer = import_(root)
    assert answer["recognised"] == ["stills: its images differ in size; 3 sequences"]
    assert set(stored(root)) == {"Misc_1", "Misc_2", "Misc_3"}
    listed = sirst(tmp_path / "IRSTD-1K")
    write(listed / "img_idx" / "train_IRSTD-1K.txt", "Misc_1\nMisc_2\n")
    write(listed / "img_idx" / "test_IRSTD-1K.txt", "Misc_3\n")
    assert "its lists split single images" in import_(listed)["recognised"][0]
    assert {name: split for name, (split, *_) in stored(listed).items()} == {
        "Misc_1": "train",
        "Misc_2": "train",
        "Misc_3": "test",
    }
    folders = tmp_path / "SIRST_AUG"
    for split in ("trainval", "test"):
        frames(folders / split / "images", "000001")
        mask(folders / split / "masks" / "000001.png", (4, 6, 2, 3))
    import_(folders)
    assert {name: split for name, (split, *_) in stored(folders).items()} == {
        "trainval_000001": "train",
        "test_000001": "test",
    }


def test_masks_become_8_connected_components_with_their_centroid(tmp_path: Path) -> None:
    root = tmp_path / "set"
    frames(root / "images", "0")
    pixels = np.zeros(SIZE, np.uint8)
    pixels[6, 4] = pixels[7, 5] = 255  # touch at a corner
    pixels[20, 30] = pixels[20, 31] = pixels[21, 30] = 255
    mask(root / "masks" / "0.png")
    cv2.imwrite(str(root / "masks" / "0.png"), pixels)
    import_(root)
    ((_, _, boxes),) = stored(root).values()
    assert boxes[0][0] == (5.0, 7.0, 2.0, 2.0, "target")
    assert boxes[0][1] == (pytest.approx(30.5 + 1 / 3), pytest.approx(20.5 + 1 / 3), 2.0, 2.0, "target")


def test_a_mask_that_is_not_binary_is_cut_at_half_and_said(tmp_path: Path) -> None:
    root = tmp_path / "set"
    frames(root / "images", "0", "1")
    mask(root / "masks" / "0.png", (4, 6, 2, 3))
    pixels = np.zeros(SIZE, np.uint8)
    pixels[5:10, 3:7] = 100
    pixels[6:9, 4:6] = 201
    cv2.imwrite(str(root / "masks" / "1.png"), pixels)
    (note,) = (note for note in import_(root)["notes"] if "binary" in note)
    assert note.startswith("set: 1 of 2 frames (1.png): the mask is not binary")
    assert stored(root)["set"][2] == {0: [BOX], 1: [BOX]}


def damaged_masks(kind: str, root: Path) -> str:
    """A set of images and masks with one fault; what is said of it."""
    frames(root / "images", "0", "1")
    for stem in "01":
        mask(root / "masks" / f"{stem}.png", (4, 6, 2, 3))
    path = root / "masks" / "1.png"
    if kind == "shifted names":
        path.rename(path.with_name("2.png"))
        return "images/1.png: no mask"
    if kind == "mask without image":
        mask(path.with_name("2.png"))
        return "masks/2.png: a mask without an image"
    if kind == "other size":
        mask(path, size=(12, 16))
        return "1.png: 16x12, but its frame is 32x24"
    if kind == "instances":
        mask(path, (1, 1, 2, 2), value=1)
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        pixels[9, 9] = 2
        cv2.imwrite(str(path), pixels)
        return "values 0, 1, 2 may be numbers of instances"
    if kind == "inverted":
        cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        return "most of the mask is set"
    path.write_bytes(path.read_bytes()[:-20])
    return "masks/1.png: truncated"


@pytest.mark.parametrize(
    "kind", ["shifted names", "mask without image", "other size", "instances", "inverted", "truncated"]
)
def test_known_faults_of_masks_are_refused(tmp_path: Path, kind: str) -> None:
    fails(tmp_path / "set", damaged_masks(kind, tmp_path / "set"))


def test_centre_lists_never_guess_where_pixels_begin(tmp_path: Path) -> None:
    root = tmp_path / "set"
    frames(root / "A" / "images", "0", "1")
    write(root / "A" / "centers" / "0.txt", "4 6\n10, 11.5\n")
    write(root / "A" / "centers" / "1.txt", "")
    fails(root, "is the first pixel of its centres number 0 or 1?")
    fails(root, "--centres-from 2", "--centres-from", 2)
    answer = import_(root, "--centres-from", 1, "--centre-size", 3)
    assert answer["recognised"] == [
        "centres: texts of `x y` lines in centers/; boxes of 3 px around them; 1 sequence, boxes 1-based"
    ]
    assert stored(root)["A"][1:] == (2, {0: [(3.5, 5.5, 3, 3, "target"), (9.5, 11, 3, 3, "target")]})


def test_centre_lists_lie_beside_the_images_or_in_one_file(tmp_path: Path) -> None:
    beside = frames(tmp_path / "beside", "0", "1")
    write(beside / "0.txt", "4 6\n")
    write(beside / "1.txt", "5 6\n")
    one = tmp_path / "one"
    frames(one / "img", "0", "1")
    write(one / "centres.txt", "4 6\n\n")
    for root, boxes in (
        (beside, {0: [(4.5, 6.5, 5, 5, "target")], 1: [(5.5, 6.5, 5, 5, "target")]}),
        (one, {0: [(4.5, 6.5, 5, 5, "target")]}),
    ):
        import_(root, "--centres-from", 0)
        assert stored(root)[root.name][1:] == (2, boxes)
    for text, part in (
        ("4 6\n", "1 lines for 2 frames"),
        ("4 6\n4 nan\n", "line 2: needs 2 finite"),
        ("4 6\n99 6\n", "outside the frame"),
    ):
        root = tmp_path / f"bad {part[:3]}"
        frames(root / "img", "0", "1")
        write(root / "centres.txt", text)
        fails(root, part, "--centres-from", 0)
    (one / "centres.txt").unlink()
    write(one / "points" / "0.txt", "4 6\n")
    one = one.rename(tmp_path / "missing")
    fails(one, "img/1.png: no centre list", "--centres-from", 0)
