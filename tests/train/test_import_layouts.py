"""irdim-train import: a small sample of every layout of other tools, what is recognised, and what is refused."""

import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim_train.commands.import_ import command
from irdim_train.importing.readers import iterate_xml

app = typer.Typer()
app.command()(command)

SIZE = (24, 32)  # (H, W)


def import_(source: Path, *arguments: object) -> dict:
    """Import into SOURCE.data with --json; what it printed. Raises what it raises."""
    out = source.with_name(f"{source.name}.data")
    words = [str(source), "--out", str(out), *map(str, arguments), "--json"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    if result.exception:
        raise result.exception
    return json.loads(result.stdout)


def fails(source: Path, part: str, *arguments: object) -> None:
    """The import ends in one line that holds `part`, and leaves no data set behind."""
    with pytest.raises(InputError) as caught:
        import_(source, *arguments)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not source.with_name(f"{source.name}.data").exists()


def stored(source: Path) -> dict[str, tuple[str, int, dict[int, list[tuple]]]]:
    """By name: split, number of frames, and (x, y, w, h, label) of the boxes by frame."""
    with Dataset.open(source.with_name(f"{source.name}.data")) as data:
        return {
            s.name: (
                s.split,
                s.length,
                {f: [(b.x, b.y, b.w, b.h, b.label) for b in of] for f, of in data.boxes(s).items()},
            )
            for s in data.sequences()
        }


def frames(folder: Path, *stems: str, size: tuple[int, int] = SIZE, suffix: str = ".png") -> Path:
    """16-bit images of noise that no other folder has."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        rng = np.random.default_rng(zlib.crc32(str(folder / stem).encode()))
        assert cv2.imwrite(
            str(folder / f"{stem}{suffix}"),
            rng.integers(0, 255, size).astype(np.uint8 if suffix == ".jpg" else np.uint16),
        )
    return folder


def mask(path: Path, *rectangles: tuple[int, int, int, int], size: tuple[int, int] = SIZE, value: int = 255) -> None:
    """A mask with these (x, y, w, h) set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, np.uint8)
    for x, y, w, h in rectangles:
        pixels[y : y + h, x : x + w] = value
    cv2.imwrite(str(path), pixels)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


BOX = (5.0, 7.5, 2.0, 3.0, "target")  # pixels 4 and 5 across, 6 to 8 down


# masks


def nudt_mirsdt(root: Path) -> Path:
    for number in (1, 2, 10):
        frames(root / f"Sequence{number}" / "images", "00001", "00002")
        for stem in ("00001", "00002"):
            mask(root / f"Sequence{number}" / "masks" / f"{stem}.png", (4, 6, 2, 3))
    write(root / "train.txt", "Sequence1/Mix/00001.mat\nSequence1/Mix/00002.mat\nSequence10/Mix/00001.mat\n")
    write(root / "test.txt", "Sequence2/Mix/00001.mat\r\n")
    return root


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


# centres


def test_centre_lists_never_guess_where_pixels_begin(tmp_path: Path) -> None:
    root = tmp_path / "set"
    frames(root / "A" / "images", "0", "1")
    write(root / "A" / "centers" / "0.txt", "4 6\n10, 11.5\n")
    write(root / "A" / "centers" / "1.txt", "")
    fails(root, "is the first pixel of its centres number 0 or 1?")
    fails(root, "--centres-from 2", "--centres-from", 2)
    answer = import_(root, "--centres-from", 1, "--centre-size", 3)
    assert answer["recognised"] == [
        "centres: texts of `x y` lines in centers/; boxes of 3 px around them; 1 sequences, boxes 1-based"
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


# COCO


def coco(root: Path, **changes: object) -> Path:
    frames(root / "images" / "A", "0", "1")
    frames(root / "images" / "B", "0")
    images = [
        {"id": i, "file_name": f, "width": 32, "height": 24} for i, f in enumerate(("A/1.png", "B/0.png", "A/0.png"))
    ]
    annotations = [
        {"id": 1, "image_id": 2, "category_id": 7, "bbox": [4, 6, 2, 3]},
        {"id": 2, "image_id": 1, "category_id": 9, "bbox": [0, 0, 8, 8], "iscrowd": 1},
    ]
    categories = [{"id": 7, "name": "UAV"}, {"id": 9, "name": "cloud"}]
    value = {"images": images, "annotations": annotations, "categories": categories, **changes}
    write(root / "annotations" / "instances.json", json.dumps(value))
    return root


def test_coco_takes_folders_as_sequences_and_crowds_as_regions_to_ignore(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    answer = import_(root, "--val", "B")
    assert answer["recognised"] == [
        "coco: images and annotations in annotations/instances.json; 2 sequences, boxes 0-based"
    ]
    assert answer["classes"] == {"UAV": "target", "ignore": "ignore"}
    assert stored(root) == {"A": ("train", 2, {0: [BOX]}), "B": ("val", 1, {0: [(4.0, 4.0, 8.0, 8.0, "ignore")]})}
    import_(coco(tmp_path / "file") / "annotations" / "instances.json", "--out", tmp_path / "file.data")
    assert stored(tmp_path / "file")["A"][2] == {0: [BOX]}


def test_coco_video_orders_by_frame_id_and_splits_by_file(tmp_path: Path) -> None:
    root = tmp_path / "set"
    frames(root / "train", "b", "a", "c")
    for split, names in (("train", ("b", "a")), ("val", ("c",))):
        images = [
            {
                "id": str(i),
                "file_name": f"{split if split == 'train' else 'train'}/{n}.png",
                "video_id": 3,
                "frame_id": 10 + i,
            }
            for i, n in enumerate(names)
        ]
        note = {"id": 1, "image_id": "0", "category_id": 1, "bbox": [4, 6, 2, 3], "track_id": 5, "instance_id": 5}
        value = {
            "videos": [{"id": 3, "name": f"clips/{split}_one"}],
            "images": images,
            "annotations": [note],
            "categories": [{"id": 1, "name": "target"}],
        }
        write(root / "annotations" / f"{split}.json", json.dumps(value))
    answer = import_(root)
    assert answer["layouts"] == [{"layout": "coco-video", "origin": 0, "sequences": 2}]
    assert stored(root) == {"train_one": ("train", 2, {0: [BOX]}), "val_one": ("val", 1, {0: [BOX]})}
    with Dataset.open(tmp_path / "set.data") as data:  # b before a
        b = cv2.imread(str(root / "train" / "b.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(data.frames(data.sequence("train_one"))[0], b)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"images": [{"id": 0, "file_name": "../../../etc/passwd"}], "annotations": []}, "leads out of"),
        ({"images": [{"id": 0, "file_name": "/etc/passwd"}], "annotations": []}, "leads out of"),
        ({"images": [{"id": 0, "file_name": "A/9.png"}], "annotations": []}, "its image A/9.png is neither in"),
        ({"images": [{"id": 0, "file_name": "A/0.png"}] * 2}, "same id"),
        ({"images": [{"id": 0, "file_name": "A/0.png"}, {"id": 1, "file_name": "A/0.png"}], "annotations": []}, "same frame"),
        ({"images": [{"id": 2, "file_name": "A/0.png", "width": 640, "height": 512}], "annotations": []}, "says that 0.png is 640x512"),
        ({"images": {"a": 1}}, "'images' must be a list"),
        ({"images": [{"id": [], "file_name": "A/0.png"}]}, "entry 0 of 'images' needs id and file_name"),
        ({"annotations": [{"image_id": 2, "category_id": 7, "bbox": [4, 6, 0, 3]}]}, "annotation 0: a box needs a width"),
        ({"annotations": [{"image_id": 2, "category_id": 7, "bbox": [4, 6, float("nan"), 3]}]}, "annotation 0, bbox: needs 4 finite"),
        ({"annotations": [{"image_id": 2, "category_id": 7, "bbox": "4623"}, {}]}, "entry 1 of 'annotations'"),
        ({"annotations": [{"image_id": 2, "category_id": 5, "bbox": [4, 6, 2, 3]}]}, "no category 5"),
        ({"annotations": [{"image_id": 8, "category_id": 7, "bbox": [4, 6, 2, 3]}]}, "no image 8"),
        ({"annotations": [{"image_id": 2, "category_id": 7, "bbox": [40, 6, 2, 3]}]}, "annotation 0: the centre (41, 7.5) lies outside"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_coco_is_named(tmp_path: Path, changes: dict, part: str) -> None:
    fails(coco(tmp_path / "set", **changes), part)


def test_junk_that_grows_in_memory_is_refused(tmp_path: Path) -> None:
    root = coco(tmp_path / "json")
    file = root / "annotations" / "instances.json"
    file.write_text(file.read_text()[:-1] + ', "junk": [' + "[]," * (1 << 23) + "[]]}")
    fails(root, "values; split it")
    junk = "<a/>" * (1 << 20)
    fails(cvat(tmp_path / "xml", junk), "an element of more than 1048576 parts")
    beside = write(tmp_path / "beside.xml", f"<annotations>{'<a/>' * (1 << 18)}<image/></annotations>")
    tracemalloc.start()
    assert [element.tag for element in iterate_xml(beside, "image")] == ["image"]
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    root = tmp_path / "masks"
    frames(root / "images", "0", size=(300, 300))
    checks = np.zeros((300, 300), np.uint8)
    checks[::2, ::2] = 255
    mask(root / "masks" / "0.png")
    cv2.imwrite(str(root / "masks" / "0.png"), checks)
    fails(root, "22500 separate areas")


def test_a_folder_that_links_back_into_itself_is_read_once(tmp_path: Path) -> None:
    root = nudt_mirsdt(tmp_path / "set")
    (root / "Sequence1" / "images" / "again").symlink_to(root / "Sequence1" / "images")
    (root / "Sequence1" / "masks" / "up").symlink_to(root / "Sequence1" / "masks")
    import_(root)
    assert stored(root)["Sequence1"][1] == 2


def test_json_bombs_are_refused(tmp_path: Path) -> None:
    root = coco(tmp_path / "set")
    file = root / "annotations" / "instances.json"
    file.write_text('{"images": ' + "[" * 200_000 + '"annotations"')
    fails(root, "instances.json: not a readable JSON file")
    with file.open("r+b") as data:
        data.truncate(1 << 38)
    fails(root, "MiB are read")


# YOLO


def yolo(root: Path, text: str = "0 0.15625 0.3125 0.0625 0.125\n", names: str = "[drone, bird]") -> Path:
    for split, sequence in (("train", "A"), ("val", "B")):
        frames(root / "images" / split / sequence, "0", "1")
        write(root / "labels" / split / sequence / "0.txt", text)
    write(root / "data.yaml", f"path: ../datasets/set\ntrain: images/train\nval: images/val\nnames: {names}\n")
    return root


def test_yolo_is_read_by_its_yaml_and_a_missing_text_is_no_target(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set")
    answer = import_(root)
    assert "yolo: data.yaml names classes and images; 2 sequences" in answer["recognised"][0]
    assert stored(root) == {"A": ("train", 2, {0: [BOX]}), "B": ("val", 2, {0: [BOX]})}
    import_(yolo(tmp_path / "file") / "data.yaml", "--out", tmp_path / "file.data")
    assert set(stored(tmp_path / "file")) == {"A", "B"}


def test_yolo_without_a_yaml_or_as_roboflow_and_darknet_write_it(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    frames(plain / "images", "clip_a_1", "clip_a_2", "clip_b_1")
    write(plain / "labels" / "clip_a_2.txt", "1 0.15625 0.3125 0.0625 0.125")
    write(plain / "classes.txt", "bird\ndrone\n")
    import_(plain)
    assert {name: content[1:] for name, content in stored(plain).items()} == {
        "clip_a": (2, {1: [BOX]}),
        "clip_b": (1, {}),
    }
    roboflow = tmp_path / "roboflow"
    for split in ("train", "valid"):
        frames(roboflow / split / "images", f"{split}clip_1", suffix=".jpg")
        write(roboflow / split / "labels" / f"{split}clip_1.txt", "0 0.15625 0.3125 0.0625 0.125")
    write(roboflow / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: {0: drone}\n")
    assert any("JPEG" in note for note in import_(roboflow)["notes"])
    assert stored(roboflow) == {"trainclip": ("train", 1, {0: [BOX]}), "validclip": ("val", 1, {0: [BOX]})}
    listed = yolo(tmp_path / "listed")
    write(listed / "t.txt", "./images/train/A/0.png\n")
    write(listed / "data.yaml", "train: t.txt\nnames: {0: drone}\n")
    import_(listed)
    assert stored(listed) == {"A": ("train", 1, {0: [BOX]})}


@pytest.mark.parametrize(
    ("text", "names", "part"),
    [
        ("0 0.1 0.1 0.1 0.1 0.9\n", "[drone]", "line 1: 6 values"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2\n", "[drone]", "no polygons"),
        ("\n0 100 90 5 5\n", "[drone]", "line 2: 100, 90 are no parts of the image"),
        ("0 0.1 0.1 0 0.1\n", "[drone]", "a size above 0"),
        ("0.5 0.1 0.1 0.1 0.1\n", "[drone]", "needs a class number"),
        ("3 0.1 0.1 0.1 0.1\n", "[drone]", "there is no class 3"),
        ("0 0.1 0.1 nan 0.1\n", "[drone]", "5 finite numbers"),
        ("0 1.5 0.1 0.1 0.1\n", "[drone]", "outside the frame"),
        ("0 0.1 0.1 0.1 0.1\n", "[cloud]", "no class is known for the label cloud (found: cloud (2))"),
        ("", "{a: b}", "'names' must be"),
        ("", "[&a x, *a]", "aliases"),
        ("", "[drone", "not a readable YAML"),
        ("", "!!python/object/apply:os.system [exit]", "not a readable YAML"),
    ],
)
def test_wrong_yolo_is_named(tmp_path: Path, text: str, names: str, part: str) -> None:
    fails(yolo(tmp_path / "set", text, names), part)


def test_yolo_paths_stay_in_the_folder_and_texts_have_images(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set")
    yaml = (root / "data.yaml").read_text()
    write(root / "data.yaml", yaml.replace("images/val", "a/../../../../etc"))
    fails(root, "leads out of")
    write(root / "data.yaml", yaml)
    write(root / "labels" / "val" / "B" / "7.txt", "")
    fails(root, "7.txt: there is no image of that name")
    (root / "labels" / "val" / "B" / "7.txt").unlink()
    fails(root, "have no first pixel", "--origin", 1)
    for text in sorted(root.rglob("0.txt")):
        text.unlink()
    fails(root, "none of 4 images has a text")


# Pascal VOC


def voc_xml(inner: str = "", size: str = "<width>32</width><height>24</height>", head: str = "") -> str:
    return f"<?xml version='1.0'?>{head}<annotation><size>{size}</size>{inner}</annotation>"


def voc_object(edges: tuple[float, ...], name: str = "drone", difficult: int = 0) -> str:
    tags = "".join(f"<{t}>{v}</{t}>" for t, v in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{tags}</bndbox></object>"


def voc(root: Path, xml: str) -> Path:
    frames(root / "JPEGImages", "clip_0", "clip_1", "other_0")
    write(root / "Annotations" / "clip_0.xml", xml)
    write(root / "Annotations" / "other_0.xml", voc_xml())
    write(root / "ImageSets" / "Main" / "train.txt", "clip_0\nclip_1\n")
    write(root / "ImageSets" / "Main" / "val.txt", "other_0\n")
    write(root / "ImageSets" / "Main" / "trainval.txt", "clip_0\nclip_1\nother_0\n")
    write(root / "ImageSets" / "Main" / "drone_train.txt", "clip_0  1\nclip_1 -1\n")
    return root


def test_voc_counts_from_1_and_difficult_is_a_region_to_ignore(tmp_path: Path) -> None:
    objects = voc_object((5, 7, 6, 9)) + voc_object((1, 1, 8, 8), "cloud", 1)
    root = voc(tmp_path / "set", voc_xml(objects))
    answer = import_(root)
    assert answer["recognised"] == [
        "voc: an XML file for each image, in Annotations/; 2 sequences, boxes 1-based; its splits: train 1, val 1"
    ]
    assert "clip: 1 of 2 frames (clip_1.png): no XML file, taken as a frame without targets" in answer["notes"]
    assert stored(root) == {"clip": ("train", 2, {0: [BOX, (4.0, 4.0, 8.0, 8.0, "ignore")]}), "other": ("val", 1, {})}
    edges = voc(tmp_path / "edges", voc_xml(voc_object((4, 6, 6, 9))))
    import_(edges, "--origin", 0)
    assert stored(edges)["clip"][2] == {0: [BOX]}


@pytest.mark.parametrize(
    ("xml", "part"),
    [
        (voc_xml(voc_object((0, 7, 6, 9))), "clip_0.xml, object 1: a box begins at 0, but VOC counts pixels from 1"),
        (voc_xml(voc_object((5, 7, 4, 9))), "object 1: a box needs a width"),
        (voc_xml("<object><name>x</name></object>"), "object 1, bndbox: needs 4 finite"),
        (voc_xml(voc_object((5, 7, 6, 9), "")), "object 1: no name"),
        (voc_xml(size="<width>640</width><height>512</height>"), "says 640x512, but its image is 32x24"),
        (voc_xml()[:-5], "not a readable XML"),
        (voc_xml("&lol;", head='<!DOCTYPE l [<!ENTITY lol "lol">]>'), "document type or entities"),
        (voc_xml("&x;", head='<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "document type or entities"),
    ],
)
def test_wrong_voc_is_named(tmp_path: Path, xml: str, part: str) -> None:
    fails(voc(tmp_path / "set", xml), part)


def test_an_xml_file_without_its_image_is_named(tmp_path: Path) -> None:
    root = voc(tmp_path / "set", voc_xml())
    write(root / "Annotations" / "clip_7.xml", voc_xml())
    fails(root, "clip_7.xml: there is no image of that name")


def test_an_entity_bomb_is_refused(tmp_path: Path) -> None:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 20))
    fails(voc(tmp_path / "set", voc_xml("&a19;", head=f"<!DOCTYPE l [{entities}]>")), "document type or entities")


# CVAT


def cvat(root: Path, inner: str, name: str = "A/0.png") -> Path:
    frames(root / "images" / "A", "0", "1")
    images = f'<image id="0" name="{name}" width="32" height="24" subset="Test">{inner}</image>'
    write(
        root / "annotations.xml",
        f'<annotations><version>1.1</version>{images}<image id="1" name="A/1.png" width="32" height="24" subset="Test"/></annotations>',
    )
    return root


def test_cvat_boxes_are_edges_from_0_and_subsets_splits(tmp_path: Path) -> None:
    root = cvat(tmp_path / "set", '<box label="drone" xtl="4" ytl="6.0" xbr="6" ybr="9" occluded="0"/><tag label="x"/>')
    assert (
        "cvat: annotations.xml of CVAT; 1 sequences, boxes 0-based; its splits: test 1" in import_(root)["recognised"]
    )
    assert stored(root) == {"A": ("test", 2, {0: [BOX]})}


@pytest.mark.parametrize(
    ("inner", "name", "part"),
    [
        ('<polygon label="drone" points="1,1;2,2"/>', "A/0.png", "image A/0.png: a polygon"),
        ('<box label="drone" xtl="4" ytl="6" xbr="6"/>', "A/0.png", "box 1: needs 4 finite"),
        ('<box xtl="4" ytl="6" xbr="6" ybr="9"/>', "A/0.png", "no label"),
        ("", "../../set.data", "leads out of"),
        ("", "A/3.png", "its image 'A/3.png' is not there"),
        ('</image><track id="0" label="drone"/><image name="A/0.png">', "A/0.png", "CVAT for video"),
    ],
)
def test_wrong_cvat_is_named(tmp_path: Path, inner: str, name: str, part: str) -> None:
    fails(cvat(tmp_path / "set", inner, name), part)


# MOT


def mot(root: Path, rows: str, info: str = "imDir=img1\nframeRate=25\nname=x\n") -> Path:
    frames(root / "train" / "SEQ-01" / "img1", "000001", "000002")
    write(root / "train" / "SEQ-01" / "gt" / "gt.txt", rows)
    write(root / "train" / "SEQ-01" / "seqinfo.ini", f"[Sequence]\n{info}")
    return root


def test_mot_counts_frames_and_pixels_from_1_and_confidence_0_is_ignored(tmp_path: Path) -> None:
    root = mot(tmp_path / "MOT", "2,1,5,7,2,3,1,-1,-1\n2,2,1,1,8,8,0,3,1\n")
    answer = import_(root)
    assert answer["recognised"] == ["mot: gt/gt.txt beside the images; 1 sequences, boxes 1-based; its splits: train 1"]
    assert stored(root) == {"SEQ-01": ("train", 2, {1: [BOX, (4.0, 4.0, 8.0, 8.0, "ignore")]})}
    with Dataset.open(tmp_path / "MOT.data") as data:
        assert data.sequence("SEQ-01").interval == pytest.approx(0.04)
    named = mot(tmp_path / "named", "1,1,5,7,2,3,1,2,1\n")
    write(named / "train" / "SEQ-01" / "gt" / "labels.txt", "bird\ndrone\n")
    assert import_(named)["classes"] == {"drone": "target"}


@pytest.mark.parametrize(
    ("rows", "info", "part"),
    [
        ("0,1,5,7,2,3,1,-1\n", "", "row 1: frame 0; MOT counts frames from 1"),
        ("3,1,5,7,2,3,1,-1\n", "", "row 1: frame 2 is not there"),
        ("1,1,5,7,2\n", "", "row 1: needs 6 finite"),
        (
            "1,1,5,7,2,3,1,1\n",
            "",
            "no class is known for the label 1 (found: 1 (1)); say what it is, e.g. --map '1=target'",
        ),
        ("", "imDir=../../../x\n", "leads out of"),
        ("", "[", "not a readable seqinfo.ini"),
    ],
)
def test_wrong_mot_is_named(tmp_path: Path, rows: str, info: str, part: str) -> None:
    fails(mot(tmp_path / "MOT", rows, info), part)


# what is common


def test_two_layouts_in_one_folder_are_asked_about(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set")
    coco(root)
    fails(root, "may be coco (images and annotations in annotations/instances.json) and yolo (data.yaml")
    import_(root, "--format", "yolo")
    assert set(stored(root)) == {"A", "B"}


def test_a_layout_that_is_not_there_says_what_it_needs(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set")
    fails(root, "no sequence in the layout coco (a JSON file with images and annotations)", "--format", "coco")
    fails(write(tmp_path / "a.zip", "PK"), "an archive; unpack it")


def test_unknown_classes_are_one_error_that_lists_them_all(tmp_path: Path) -> None:
    root = tmp_path / "set"
    yolo(root, "0 0.15625 0.3125 0.0625 0.125\n1 0.5 0.5 0.1 0.1\n2 0.5 0.5 0.1 0.1\n", "[BIRD, Drone, cloud-edge]")
    fails(root, "labels BIRD, cloud-edge (found: BIRD (2), Drone (2), cloud-edge (2))")
    fails(root, "label cloud-edge", "--map", "BIRD=interference")
    answer = import_(root, "--map", "BIRD=interference", "--map", "cloud-edge=ignore")
    assert answer["classes"] == {"BIRD": "interference", "Drone": "target", "cloud-edge": "ignore"}
    assert [b[-1] for b in stored(root)["A"][2][0]] == ["interference", "target", "ignore"]


def test_an_import_that_fails_in_its_first_frames_leaves_nothing(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set")
    path = root / "images" / "train" / "A" / "1.png"
    path.write_bytes(path.read_bytes()[:-20])
    fails(root, "A/1.png: truncated")


def test_several_layouts_and_own_recordings_lie_side_by_side(tmp_path: Path) -> None:
    root = tmp_path / "all"
    makers: list[Callable[[Path], Path]] = [nudt_mirsdt, lambda p: mot(p, "1,1,5,7,2,3,1,-1\n"), coco]
    for number, make in enumerate(makers):
        make(root / f"set{number}")
    frames(root / "own", "0", "1")
    write(root / "own" / "boxes.csv", "frame,label,x,y,width,height\n0,WHATEVER,4,6,2,3\n")
    answer = import_(root)
    assert [layout["layout"] for layout in answer["layouts"]] == ["boxes-csv", "coco", "masks", "mot"]
    assert answer["classes"]["WHATEVER"] == "target"
    assert set(stored(root)) == {"Sequence1", "Sequence2", "Sequence10", "SEQ-01", "A", "B", "own"}
