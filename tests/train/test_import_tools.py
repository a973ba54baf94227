"""irdim-train import of COCO, YOLO, Pascal VOC, CVAT and MOT: a small sample of each, and what is refused."""

import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from samples import BOX, coco, cvat, fails, frames, import_, mask, mot, nudt_mirsdt, stored, write, yolo

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim_train.importing import Options, plan_import
from irdim_train.importing.gallery import SPLIT_NAMES
from irdim_train.importing.readers import iterate_xml


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


@pytest.mark.parametrize("folder", SPLIT_NAMES)
def test_coco_in_a_folder_of_every_name_that_a_split_has_is_read(tmp_path: Path, folder: str) -> None:
    for name in {"test", folder}:
        frames(tmp_path / "set" / name, f"{name}clip_1")
        value = {"images": [{"id": 0, "file_name": f"{name}clip_1.png"}], "annotations": [], "categories": []}
        write(tmp_path / "set" / name / "_annotations.coco.json", json.dumps(value))
    import_(tmp_path / "set")
    assert {name: content[0] for name, content in stored(tmp_path / "set").items()} == {
        "testclip": "test",
        f"{folder}clip": SPLIT_NAMES[folder],
    }


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
        ({"annotations": [{"image_id": 2, "category_id": [7], "bbox": [4, 6, 2, 3]}]}, "its category_id is neither"),
        ({"annotations": [{"image_id": 2, "category_id": 7, "bbox": [10**400, 6, 2, 3]}]}, "annotation 0, bbox: needs 4 finite"),
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


@pytest.mark.parametrize(
    ("yaml", "part"),
    [
        (b"path: .\nnames: [drone]\n", "data.yaml: must hold `names:` and one of"),
        (b"train: images/train\nname: [drone]\n", "data.yaml: must hold"),
        (b" train: images/train\nnc: 3\n", "data.yaml: not a readable YAML"),
        (b"\x00\xff garbage", "data.yaml: "),
        (b"", "data.yaml: "),
    ],
)
def test_a_broken_data_yaml_is_blamed_and_not_the_classes(tmp_path: Path, yaml: bytes, part: str) -> None:
    root = yolo(tmp_path / "set")
    (root / "data.yaml").write_bytes(yaml)
    fails(root, part)


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


def test_cvat_boxes_are_edges_from_0_and_subsets_splits(tmp_path: Path) -> None:
    root = cvat(tmp_path / "set", '<box label="drone" xtl="4" ytl="6.0" xbr="6" ybr="9" occluded="0"/><tag label="x"/>')
    assert "cvat: annotations.xml of CVAT; 1 sequence, boxes 0-based; its splits: test 1" in import_(root)["recognised"]
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


def test_mot_counts_frames_and_pixels_from_1_and_confidence_0_is_ignored(tmp_path: Path) -> None:
    root = mot(tmp_path / "MOT", "2,1,5,7,2,3,1,-1,-1\n2,2,1,1,8,8,0,3,1\n")
    answer = import_(root)
    assert answer["recognised"] == ["mot: gt/gt.txt beside the images; 1 sequence, boxes 1-based; its splits: train 1"]
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
        ("3,1,5,7,2,3,1,-1\n", "", "row 1: there is no image of frame 3 in "),
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


def rows_of(*frames: int) -> str:
    return "".join(f"{frame},1,5,7,2,3,1,-1\n" for frame in frames)


def test_mot_rows_mean_the_number_in_the_images_name_not_its_place(tmp_path: Path) -> None:
    def every_second(name: str, rows: str) -> Path:
        root = mot(tmp_path / name, rows)
        images = frames(root / "train" / "SEQ-01" / "img1", "000003", "000005", "000007")
        (images / "000002.png").unlink()
        return root

    import_(every_second("odd", rows_of(1, 3, 7)))
    assert stored(tmp_path / "odd")["SEQ-01"][1:] == (4, {0: [BOX], 1: [BOX], 3: [BOX]})
    fails(every_second("even", rows_of(1, 4)), "row 2: there is no image of frame 4 in ")


def test_mot_images_that_count_from_0_or_have_no_numbers_go_in_their_order_and_it_is_said(tmp_path: Path) -> None:
    for name, stems, part in (
        ("zero", ("frame_000000", "frame_000002"), "numbered from 0, so frame 1 is frame_000000.png"),
        ("letters", ("a", "b", "c"), "frame 1 is a.png"),
        ("part", ("000101", "000102", "000103"), "frame 1 is 000101.png"),
        ("times", ("1631023456.04", "1631023456.08", "1631023456.12"), "frame 1 is 1631023456.04.png"),
        ("tail", ("000001_ir8", "000002_ir8", "000003_ir8"), "frame 1 is 000001_ir8.png"),
    ):
        root = mot(tmp_path / name, rows_of(3))
        for image in (root / "train" / "SEQ-01" / "img1").iterdir():
            image.unlink()
        frames(root / "train" / "SEQ-01" / "img1", *stems)
        assert any(part in note for note in import_(root)["notes"])
        assert stored(root)["SEQ-01"][2] == {len(stems) - 1: [BOX]}


@pytest.mark.parametrize("content", ['{"images": [{"id": 1, "file_na', "{}", "[1]"])
def test_coco_that_is_cut_short_is_no_folder_without_labels(tmp_path, content):
    images = tmp_path / "images" / "night"
    images.mkdir(parents=True)
    cv2.imwrite(str(images / "0.png"), np.zeros((8, 8), np.uint8))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(content)
    with pytest.raises(InputError, match=r"instances_train\.json"):
        plan_import([tmp_path])


def recordings(folder, count=3):
    """Image folders, and none of their labels."""
    for number in range(count):
        (folder / f"n{number}" / "images").mkdir(parents=True)
        for frame in range(2):
            pixels = np.full((24, 32), 100 + number, np.uint8)
            cv2.imwrite(str(folder / f"n{number}" / "images" / f"{frame}.png"), pixels)
    return folder


def test_one_odd_line_among_centre_lists_is_an_error_not_another_layout(tmp_path):
    folder = recordings(tmp_path, 1) / "n0"
    (folder / "centres").mkdir()
    for frame, line in enumerate(("7", "10 20")):
        (folder / "centres" / f"{frame}.txt").write_text(line)
    with pytest.raises(InputError, match=r"0\.txt, line 1"):
        plan_import([folder], options=Options(centres_from=0))


def test_centres_from_without_centres_is_refused(tmp_path):
    with pytest.raises(InputError, match="--centres-from: no centre lists here"):
        plan_import([recordings(tmp_path)], options=Options(centres_from=0))


def test_recordings_without_labels_among_others_are_named(tmp_path):
    folder = recordings(tmp_path)
    assert plan_import([folder]).notes == ("no sequence has labels; irdim-train label proposes first ones",)
    for number in (0, 2):
        path = folder / f"n{number}"
        np.save(path / "frames.npy", np.full((2, 24, 32), 100 + number, np.uint8))
        for image in (path / "images").iterdir():
            image.unlink()
        (path / "images").rmdir()
        (path / "boxes.csv").write_text("frame,label,x,y,width,height\n0,target,5,5,3,3\n")
    (note,) = plan_import([folder]).notes
    assert note.startswith("no labels for images, though others have some") or "n1" in note
