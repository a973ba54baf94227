"""What a bundle says of its own losses is what can be measured again."""

import pytest

from irdim.boxes import Detection
from irdim.bundle import Bundle
from irdim.errors import InputError
from irdim.metrics import CentreDistance
from irdim_export.export import ExportOptions, export
from irdim_export.layers import Layer, convolutions, int8_share
from irdim_export.parity import SideBySide, _compare
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
