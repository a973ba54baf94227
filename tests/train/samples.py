"""Small samples of the layouts of other tools, and importing them."""

import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim_train.commands.import_ import command

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


def nudt_mirsdt(root: Path) -> Path:
    for number in (1, 2, 10):
        frames(root / f"Sequence{number}" / "images", "00001", "00002")
        for stem in ("00001", "00002"):
            mask(root / f"Sequence{number}" / "masks" / f"{stem}.png", (4, 6, 2, 3))
    write(root / "train.txt", "Sequence1/Mix/00001.mat\nSequence1/Mix/00002.mat\nSequence10/Mix/00001.mat\n")
    write(root / "test.txt", "Sequence2/Mix/00001.mat\r\n")
    return root


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


def yolo(root: Path, text: str = "0 0.15625 0.3125 0.0625 0.125\n", names: str = "[drone, bird]") -> Path:
    for split, sequence in (("train", "A"), ("val", "B")):
        frames(root / "images" / split / sequence, "0", "1")
        write(root / "labels" / split / sequence / "0.txt", text)
    write(root / "data.yaml", f"path: ../datasets/set\ntrain: images/train\nval: images/val\nnames: {names}\n")
    return root


def cvat(root: Path, inner: str, name: str = "A/0.png") -> Path:
    frames(root / "images" / "A", "0", "1")
    images = f'<image id="0" name="{name}" width="32" height="24" subset="Test">{inner}</image>'
    write(
        root / "annotations.xml",
        f'<annotations><version>1.1</version>{images}<image id="1" name="A/1.png" width="32" height="24" subset="Test"/></annotations>',
    )
    return root


def mot(root: Path, rows: str, info: str = "imDir=img1\nframeRate=25\nname=x\n") -> Path:
    frames(root / "train" / "SEQ-01" / "img1", "000001", "000002")
    write(root / "train" / "SEQ-01" / "gt" / "gt.txt", rows)
    write(root / "train" / "SEQ-01" / "seqinfo.ini", f"[Sequence]\n{info}")
    return root
