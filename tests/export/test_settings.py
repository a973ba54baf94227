"""All that may happen to a graph between FP32 and INT8, in one export."""

import json
import shutil

import pytest

from irdim.bundle import Bundle
from irdim.dataset import Dataset
from irdim.patches import Patches
from irdim_calibration.ranges import histograms
from irdim_calibration.select import choose_patches
from irdim_export import quantise, settings
from irdim_export.export import ExportOptions, export
from irdim_export.quantise import check_form
from irdim_train.runs import load_model


@pytest.mark.slow
def test_fine_tuning_and_sensitive_layers_end_in_the_same_form(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "WORTH", -1.0)  # whatever INT8 costs, everything is tried
    bundle = export(small_run, tmp_path / "bundle", ExportOptions("mse", 64, whole=True, qat=1))
    chosen = bundle.description["calibration"]
    assert set(chosen["qat"]["f1"]) == {"fp32", "int8", "qat"}
    assert set(chosen["qat"]["f1"]) == {"fp32", "int8", "qat"}
    assert (chosen["qat"]["kept"], chosen["ranges"]) == (True, settings.TUNED_FOR)
    assert chosen["higher_precision"] == []  # one sequence: nothing is beyond chance
    assert check_form(bundle.graph("int8"))["quantised Conv"] == 9
    listed = {
        "model.onnx",
        "model.int8.onnx",
        "model.int8.cpu.onnx",
        "model.int8.fp16.onnx",
        "model.whole.onnx",
        "samples.npy",
        "parity.html",
    }
    assert {p.name for p in (tmp_path / "bundle").iterdir()} == {*listed, "bundle.json"}


def test_ranges_that_were_named_are_taken_and_nothing_else_is_tried(small_run, small_bundle, tmp_path):
    bundle = export(small_run, tmp_path / "bundle", ExportOptions("minmax", 64, sensitive=False))
    chosen = bundle.description["calibration"]
    assert (chosen["ranges"], list(chosen["tried"]["f1"])) == ("minmax", ["minmax"])
    assert chosen["digest"] == Bundle.load(small_bundle).description["calibration"]["digest"]


@pytest.mark.slow
def test_a_run_that_ended_on_whole_frames_is_fine_tuned_on_them(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "WORTH", -1.0)
    shutil.copytree(small_run, tmp_path / "run")
    description = json.loads((tmp_path / "run/run.json").read_text())
    description["config"]["whole"] = 0.5
    (tmp_path / "run/run.json").write_text(json.dumps(description))
    said = []
    options = ExportOptions("mse", 64, sensitive=False, qat=1)
    bundle = export(tmp_path / "run", tmp_path / "bundle", options, progress=said.append)
    chosen = bundle.description["calibration"]
    assert (chosen["qat"]["kept"], chosen["ranges"]) == (True, settings.TUNED_FOR)
    assert any(line.startswith("fine-tuning: step") for line in said)
    assert not list((tmp_path / "bundle").glob("tuned*"))


def test_histograms_are_read_once_for_all_ways_of_reading_ranges(
    small_run, small_bundle, small_patches, small_data, tmp_path, monkeypatch
):
    shutil.copy(small_bundle / "model.onnx", tmp_path)
    _, card = load_model(small_run)
    chosen = choose_patches(Patches.open(small_patches), card.input, 64)
    told, asked = [], []
    monkeypatch.setattr(settings, "histograms", lambda *given: asked.append(given) or histograms(*given))
    monkeypatch.setattr(quantise, "histograms", lambda *given: pytest.fail("read again"))
    with Dataset.open(small_data) as data:
        trial = settings.Trial(card, tmp_path, tmp_path / "model.onnx", chosen, data, "val", told.append)
        settings.quantise_best(trial, "minmax", sensitive=False)
        assert not asked
        settings.quantise_best(trial, settings.AUTO, sensitive=False)
    assert len(asked) == 1
