"""irdim-train export: what is written in the layout of another tool is read back as it was."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from irdim.boxes import LABELS, Box
from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.sources import Frame
from irdim_train.commands.export import command
from irdim_train.exporting import FORMATS, export_data
from irdim_train.importing import import_sequences, plan_import

app = typer.Typer()
app.command()(command)

Content = list[tuple[str, str, np.ndarray, list[float], dict[int, list[Box]]]]  # name, split, frames, times, boxes


def write(out: Path, content: Content) -> Path:
    with Dataset.create(out) as data:
        for name, split, frames, times, boxes in content:
            added = data.add_sequence(
                name,
                [Frame(i, t, f) for i, (t, f) in enumerate(zip(times, frames, strict=True))],
                boxes,
                split=split,
                group=name,
                source="tests",
                who="tests",
            )
            assert added
    return out


def contents(out: Path) -> dict[str, tuple]:
    with Dataset.open(out) as data:
        data.check_splits()
        return {
            s.name: (s.split, s.dtype, s.digest, data.frames(s).tobytes(), data.times(s).tolist(), data.boxes(s))
            for s in data.sequences()
        }


def there_and_back(folder: Path, content: Content, layout: str) -> tuple[dict, dict]:
    """What the data set holds, and what one holds that was imported from its export."""
    with Dataset.open(write(folder / "data", content)) as data:
        export_data(data, folder / "out", layout)
    import_sequences(plan_import([folder / "out"]), folder / "again")
    return contents(folder / "data"), contents(folder / "again")


def assert_same(one: dict, two: dict) -> None:
    assert one.keys() == two.keys()
    for name, (*rest, boxes) in one.items():
        *others, again = two[name]
        assert rest == others, name
        assert {f: [b.label for b in of] for f, of in boxes.items()} == {
            f: [b.label for b in of] for f, of in again.items()
        }
        for frame, of in boxes.items():
            for a, b in zip(of, again[frame], strict=True):
                assert (b.x, b.y, b.w, b.h) == pytest.approx((a.x, a.y, a.w, a.h), rel=0, abs=1e-9)


def example() -> Content:
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 1 << 14, (3, 12, 17)).astype(np.uint16)
    flat = rng.integers(0, 256, (2, 9, 8)).astype(np.uint8)
    boxes = {
        0: [Box(3.25, 4.5, 2, 3), Box(0.125, 0.25, 9, 8.5, "ignore")],  # the second reaches out of the frame
        2: [Box(16.9, 11.9, 1.1, 1.3, "interference"), Box(3.25, 4.5, 2, 3)],
    }
    return [
        ("CLIP_1", "train", deep, [0.0, 0.04, 0.08], boxes),
        ("CLIP_2", "val", deep[::-1].copy(), [5.0, 5.5, 9.0], {}),
        ("flat", "test", flat, [0.0, 1.0], {1: [Box(1, 2, 1, 1)]}),
    ]


@pytest.mark.parametrize("layout", FORMATS)
def test_import_of_export_is_the_same(tmp_path: Path, layout: str) -> None:
    assert_same(*there_and_back(tmp_path, example(), layout))


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="/\\"), min_size=1, max_size=12
).filter(lambda name: not name.startswith("."))


@st.composite
def data_sets(draw: st.DrawFn) -> Content:
    content = []
    several = draw(
        st.lists(
            names | st.sampled_from(["train", "images", "img1", "val_2", "000000"]), min_size=1, max_size=3, unique=True
        )
    )
    for number, name in enumerate(several):
        length, height, width = (draw(st.integers(1, top)) for top in (3, 9, 9))
        dtype = draw(st.sampled_from([np.uint8, np.uint16]))
        frames = np.random.default_rng(draw(st.integers(0, 99)) * 10 + number).integers(
            0, 256, (length, height, width + number * 10)
        )
        step = draw(st.sampled_from([1.0, 1 / 30, 0.7]))
        times = [float(t * step) for t in range(length)]
        boxes: dict[int, list[Box]] = {}
        for _ in range(draw(st.integers(0, 3))):
            x, y = (draw(st.floats(0, side, exclude_max=True)) for side in (width, height))
            w, h = (draw(st.floats(1e-3, 20)) for _ in range(2))
            boxes.setdefault(draw(st.integers(0, length - 1)), []).append(
                Box(x, y, w, h, draw(st.sampled_from(LABELS)))
            )
        content.append((name, draw(st.sampled_from(["train", "val", "test"])), frames.astype(dtype), times, boxes))
    return content


@pytest.mark.parametrize("layout", FORMATS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=data_sets())
def test_import_of_export_is_the_same_for_any_data_set(
    tmp_path_factory: pytest.TempPathFactory, layout: str, content: Content
) -> None:
    assert_same(*there_and_back(tmp_path_factory.mktemp("any"), content, layout))


def test_what_other_tools_read_is_there(tmp_path: Path) -> None:
    with Dataset.open(write(tmp_path / "data", example())) as data:
        for layout in FORMATS:
            export_data(data, tmp_path / layout, layout)
    coco = json.loads((tmp_path / "coco" / "annotations" / "instances_train.json").read_text())
    assert coco["annotations"][0]["bbox"] == [2.25, 3.0, 2, 3]
    assert [a["iscrowd"] for a in coco["annotations"]] == [0, 1, 0, 0]
    image = cv2.imread(str(tmp_path / "coco" / "images" / coco["images"][1]["file_name"]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(image, example()[0][2][1])
    line = (tmp_path / "yolo" / "labels" / "test" / "flat" / "000001.txt").read_text()
    assert line == "0 0.125 0.2222222222222222 0.125 0.1111111111111111\n"
    assert "names:\n  0: target" in (tmp_path / "yolo" / "data.yaml").read_text()
    voc = (tmp_path / "voc" / "Annotations" / "flat" / "000001.xml").read_text()
    assert "<xmin>1.5</xmin>" in voc
    assert "<xmax>1.5</xmax>" in voc
    assert (tmp_path / "voc" / "ImageSets" / "Main" / "test.txt").read_text() == "flat/000000\nflat/000001\n"
    assert (
        '<image id="7" name="flat/000001.png" subset="test" width="8" height="9">'
        in (tmp_path / "cvat" / "annotations.xml").read_text()
    )


def test_one_split_alone_and_a_second_export_replaces_the_first(tmp_path: Path) -> None:
    data = write(tmp_path / "data", example())
    runner = CliRunner()
    for split, frames in (("val", 3), ("test", 2)):
        result = runner.invoke(app, [str(data), "--out", str(tmp_path / "out"), "--split", split, "--json"])
        splits = json.loads(result.stdout)["splits"]
        assert (splits[split]["frames"], splits["train"]["frames"]) == (frames, 0)
        assert len(list((tmp_path / "out").rglob("*.png"))) == frames
    shown = runner.invoke(app, [str(data), "--out", str(tmp_path / "all"), "--format", "voc"], catch_exceptions=False)
    assert "irdim-train import" in shown.stdout


def test_an_export_in_another_layout_or_of_another_data_set_is_kept(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, example())
    with Dataset.open(tmp_path / "one") as one, Dataset.open(tmp_path / "two") as two:
        export_data(one, tmp_path / "out", "coco")
        before = (tmp_path / "out" / "export.json").read_bytes()
        for data, layout, part in ((one, "yolo", "with layout coco"), (two, "coco", "with data .*one")):
            with pytest.raises(InputError, match=f"{part}; choose another --out, or replace it with --fresh"):
                export_data(data, tmp_path / "out", layout)
        assert (tmp_path / "out" / "export.json").read_bytes() == before
        export_data(two, tmp_path / "out", "yolo", fresh=True)
        assert (tmp_path / "out" / "data.yaml").is_file()
        (tmp_path / "out" / "export.json").write_text("{}")
        with pytest.raises(InputError, match="choose another --out"):
            export_data(two, tmp_path / "out", "yolo", fresh=True)


def test_bad_input_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "empty") as data, pytest.raises(InputError, match="no sequence to export"):
        export_data(data, tmp_path / "out", "coco")
    write(tmp_path / "data", example())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with Dataset.open(tmp_path / "data") as data:
        for out, layout, split, part in (
            ("out", "labelme", None, "choose one of coco"),
            ("out", "coco", "trian", "choose one of train"),
            ("mine", "coco", None, "choose another --out"),
            ("data/out", "coco", None, "lies in the data set"),
        ):
            with pytest.raises(InputError, match=part):
                export_data(data, tmp_path / out, layout, split=split)
        (tmp_path / "data" / "frames" / "flat.npy").write_bytes(b"damaged")
        with pytest.raises(InputError, match=r"flat\.npy"):
            export_data(data, tmp_path / "out", "yolo")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "empty", "mine"]
    call = [sys.executable, "-m", "irdim_train", "export", str(tmp_path / "gone"), "--out", str(tmp_path / "out")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
