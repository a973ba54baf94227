"""What a bundle says of its own losses is what can be measured again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rendered import render_sequence

from irdim.boxes import Box, Detection
from irdim.bundle import Bundle, ModelCard, Thresholds
from irdim.dataset import Dataset
from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.metrics import CentreDistance
from irdim.sources import Frame
from irdim_export.export import ExportOptions, export
from irdim_export.layers import Layer, convolutions, int8_share
from irdim_export.parity import SideBySide, _compare, check_scorable, score_side_by_side
from irdim_export.quantise import METHODS
from irdim_train.describe import describe


def detection(x: float, score: float) -> Detection:
    return Detection(x, 10.0, 4.0, 4.0, score)


def compared(first: list[Detection], last: list[Detection]) -> SideBySide:
    result = SideBySide("test", {"fp32": CentreDistance(), "int8": CentreDistance()}, changed_by={"int8": 0})
    _compare(0.5, "seq", 3, {"fp32": first, "int8": last}, result)
    return result


def test_equal_detections_have_not_changed():
    same = [detection(10, 0.9), detection(30, 0.2)]
    result = compared(same, same)
    assert (result.reported, result.changed, result.examples) == (2, 0, [])
    assert result.drift == [0.0]


def test_a_score_across_the_threshold_is_a_change_and_a_drift():
    result = compared([detection(10, 0.55)], [detection(10.4, 0.45)])
    assert (result.reported, result.changed) == (1, 1)
    assert result.examples[0].by == "fp32"
    assert result.drift == [pytest.approx(-0.1)]


def test_a_detection_elsewhere_counts_for_both():
    result = compared([detection(10, 0.9)], [detection(20, 0.8)])
    assert (result.reported, result.changed) == (2, 2)
    assert {c.by for c in result.examples} == {"fp32", "int8"}


def test_each_engine_is_compared_with_the_first_and_the_last_in_detail():
    result = SideBySide("test", {name: CentreDistance() for name in ("fp32", "a", "b")}, changed_by={"a": 0, "b": 0})
    here, there = detection(10, 0.9), detection(20, 0.8)
    _compare(0.5, "seq", 3, {"fp32": [here], "a": [here, there], "b": [here]}, result)
    assert result.changed_by == {"a": 1, "b": 0}
    assert (result.reported, result.changed, result.examples) == (2, 0, [])


def test_auto_keeps_the_ranges_that_change_the_fewest_detections(small_bundle):
    calibration = Bundle.load(small_bundle).description["calibration"]
    changed = calibration["tried"]["changed"]
    assert set(changed) == set(calibration["tried"]["f1"]) == set(METHODS)
    assert changed[calibration["ranges"]] == min(changed.values())
    assert not list(small_bundle.glob("equalised*"))
    assert not list(small_bundle.glob("minmax*"))


def test_the_report_shows_torch_fp32_and_int8(small_bundle):
    scores = Bundle.load(small_bundle).scores
    assert scores["torch"]["f1"] == pytest.approx(scores["fp32"]["f1"], abs=0.02)
    assert scores["drift"]["detections"] > 10
    assert 0 < scores["drift"]["mean"] <= scores["drift"]["largest"] < 0.5
    assert min(scores["milliseconds"].values()) > 0
    page = (small_bundle / "parity.html").read_text()
    assert "100.0 % of the multiply-adds" in page
    assert page.count("data:image/png") >= 2


def test_layers_cost_what_the_network_costs(small_bundle):
    layers = convolutions(small_bundle / "model.int8.onnx", (80, 80))
    assert sum(x.multiply_adds for x in layers) == describe("darknet19", 4, 0.25, ((80, 80),)).multiply_adds[80, 80]
    assert int8_share(layers) == 1.0
    assert int8_share(convolutions(small_bundle / "model.onnx", (80, 80))) == 0.0
    assert int8_share([Layer("a", (1,), "int8", 30), Layer("b", (1,), "fp32", 10)]) == 0.75


@pytest.mark.parametrize(
    ("options", "message"), [({"ranges": "guess"}, "ranges 'guess'"), ({"split": "holiday"}, "split 'holiday'")]
)
def test_options_are_checked_before_the_work(small_run, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        export(small_run, tmp_path / "bundle", ExportOptions(calibration=64, **options))
    assert not (tmp_path / "bundle").exists()


def with_split(data: Path, split: str, length: int, gap: int = 0, covered: bool = False) -> None:
    """Add a sequence of frames, one of them late, or with nobody having looked at any."""
    pixels, _ = render_sequence(len(split))  # others in each
    boxes = {i: [Box(60.0, 48.0, 120.0, 96.0, "ignore")] for i in range(length)} if covered else {}
    frames = [Frame(i, (i + (gap and i >= gap)) / 25, f) for i, f in enumerate(pixels[:length])]
    with Dataset.create(data, exist_ok=True) as opened:
        name, who = f"more-{split}", {"source": "rendered", "who": "tests"}
        opened.add_sequence(name, frames, boxes, split=split, group=name, interval=1 / 25, **who)


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_split_without_a_frame_to_score_is_refused_before_the_work(small_run, tmp_path, split):
    data, run = tmp_path / "data", shutil.copytree(small_run, tmp_path / "run")
    for name in ("train", "val", "test"):
        with_split(data, name, 6 if name == split else 12)
    said = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**said, "data": str(data)}))
    stages = []
    with pytest.raises(InputError, match=f"no judged frame in split '{split}' has 7 frames of history"):
        export(run, tmp_path / "bundle", ExportOptions(calibration=64), progress=stages.append)
    assert stages == []
    assert not (tmp_path / "bundle").exists()


class Blind:
    """An engine that sees nothing."""

    name = "blind"

    def run(self, image):
        return np.full((7, image.shape[1] // 8, image.shape[2] // 8), -9, np.float32)


@pytest.mark.parametrize(
    ("more", "fits"),
    [({}, True), ({"length": 6}, False), ({"gap": 5}, False), ({"gap": 4}, True), ({"covered": True}, False)],
)
def test_what_is_refused_before_is_what_could_not_be_scored(tmp_path, more, fits):
    card = ModelCard("any", 1.0, 8, InputSpec("difference", 2), Thresholds(0.5, 0.1))
    with_split(tmp_path / "data", "val", **{"length": 11, **more})
    with Dataset.open(tmp_path / "data") as data:
        if fits:
            check_scorable(card, data, "val")
            assert list(score_side_by_side(card, {"a": Blind(), "b": Blind()}, data, "val").sequences) == ["more-val"]
            return
        with pytest.raises(InputError, match="nothing to score"):
            check_scorable(card, data, "val")
        with pytest.raises(InputError, match="nothing to score"):
            score_side_by_side(card, {"a": Blind(), "b": Blind()}, data, "val")
