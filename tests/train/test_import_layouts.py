"""irdim-train import: what holds in every layout of other tools."""

import random
from collections.abc import Callable
from pathlib import Path

from samples import coco, cvat, fails, frames, import_, mot, nudt_mirsdt, stored, write, yolo

from irdim.errors import InputError
from irdim_train.importing import plan_import

JUNK = (b"null", b"-1", b"1e999", b"NaN", b"[]", b"{}", b'"', b"<", b"\0", b"\xff", b"../", b"\n", b":", b",", b"")


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


def test_label_files_that_are_damaged_anyhow_end_in_one_line(tmp_path: Path) -> None:
    made = {"coco": coco, "yolo": yolo, "nudt": nudt_mirsdt}
    for name, make in made.items():
        make(tmp_path / name)
    cvat(tmp_path / "cvat", '<box label="drone" xtl="4" ytl="6" xbr="6" ybr="9"/>')
    mot(tmp_path / "mot", "1,1,5,7,2,3,1,-1\n")
    files = [p for p in sorted(tmp_path.rglob("*")) if p.is_file() and p.suffix != ".png"]
    draw = random.Random(0)
    said = []
    for _ in range(250):
        file = draw.choice(files)
        whole = file.read_bytes()
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(damaged) + 1)
            damaged[at : at + draw.randint(0, 9)] = draw.choice(JUNK)
        file.write_bytes(damaged)
        try:
            plan_import([tmp_path / file.relative_to(tmp_path).parts[0]])
        except InputError as error:
            said.append(str(error))
        file.write_bytes(whole)
    assert 100 < len(said) < 250
    assert not any("\n" in line for line in said)
