"""irdim-train import: what holds in every layout of other tools."""

from collections.abc import Callable
from pathlib import Path

from samples import coco, fails, frames, import_, mot, nudt_mirsdt, stored, write, yolo


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
