import json
import resource
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest

from irdim.bundle import Bundle
from irdim.dataset import Dataset
from irdim.engines import open_engine
from irdim.errors import InputError
from irdim.patches import Patches
from irdim_calibration.select import choose_patches
from irdim_export.export import export
from irdim_export.parity import stretches
from irdim_export.quantise import METHODS, check_form, quantise
from irdim_train.batch_norm import whole_inputs
from irdim_train.evaluate import evaluate
from irdim_train.runs import load_model
from irdim_train.torch_engine import TorchEngine


def test_fp32_graph_gives_what_torch_gives(small_run, small_bundle, small_data):
    model, card = load_model(small_run)
    with Dataset.open(small_data) as data:
        image = next(whole_inputs(card, data, 1))
    expected = TorchEngine(model).run(image)
    assert np.abs(open_engine(Bundle.load(small_bundle).graph("fp32")).run(image) - expected).max() < 1e-3


def test_int8_scores_what_fp32_scores(small_bundle):
    scores = Bundle.load(small_bundle).scores
    assert scores["fp32"]["f1"] > 0.8
    assert scores["int8"]["f1"] > scores["fp32"]["f1"] - 0.03
    assert scores["fp32"]["frames"] == scores["int8"]["frames"] == 34


def test_every_convolution_is_int8_and_symmetric(small_bundle):
    counts = check_form(small_bundle / "model.int8.onnx")
    assert counts["Conv"] == counts["quantised Conv"] == 9
    assert (small_bundle / "model.int8.onnx").stat().st_size < 0.5 * (small_bundle / "model.onnx").stat().st_size
    kinds = {i.data_type for i in onnx.load(str(small_bundle / "model.int8.onnx")).graph.initializer}
    assert onnx.TensorProto.INT32 not in kinds
    assert not any(n.op_type == "BatchNormalization" for n in onnx.load(str(small_bundle / "model.onnx")).graph.node)


def test_a_graph_with_unsymmetric_nodes_is_refused(small_bundle, tmp_path):
    model = onnx.load(str(small_bundle / "model.int8.onnx"))
    names = {n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    for tensor in model.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(3, np.int8), tensor.name))
    onnx.save(model, str(tmp_path / "bad.onnx"))
    with pytest.raises(InputError, match="not symmetric INT8"):
        check_form(tmp_path / "bad.onnx")


def test_the_bundle_scores_as_the_run_does(small_run, small_bundle, small_data):
    model, card = load_model(small_run)
    bundle = Bundle.load(small_bundle)
    with Dataset.open(small_data) as data:
        run = evaluate(card, TorchEngine(model), data).metric.at(card.thresholds.report)
        exported = evaluate(bundle.card, open_engine(bundle.graph("fp32")), data).metric.at(
            bundle.card.thresholds.report
        )
        int8 = evaluate(bundle.card, open_engine(bundle.graph("int8")), data).metric.at(bundle.card.thresholds.report)
    assert exported.f1 == run.f1
    assert int8.to_json() == bundle.scores["int8"]


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx", "samples.npy"])
def test_a_bundle_with_a_wrong_digest_is_refused(small_bundle, tmp_path, name):
    broken = shutil.copytree(small_bundle, tmp_path / "bundle")
    with (broken / name).open("r+b") as file:
        file.seek(100)
        file.write(b"\x00\x01")
    with pytest.raises(InputError, match=f"{name}: its digest differs"):
        Bundle.load(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=99), "bundle version 99"),
        (lambda d: d.update(format="zip"), "not an irdim bundle"),
        (lambda d: d["model"].pop("input"), "incomplete"),
        (lambda d: d["files"].update({"../../etc/passwd": "0"}), "must list exactly"),
    ],
)
def test_a_wrong_description_is_refused(small_bundle, tmp_path, change, message):
    broken = shutil.copytree(small_bundle, tmp_path / "bundle")
    description = json.loads((broken / "bundle.json").read_text())
    change(description)
    (broken / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match=message):
        Bundle.load(broken)


def test_a_run_that_is_not_there_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match=r"run\.json: there is no run"):
        export(tmp_path / "no", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", METHODS)
def test_every_range_method_takes_any_number_of_patches(small_patches, small_run, small_bundle, tmp_path, method):
    _, card = load_model(small_run)
    chosen = choose_patches(Patches.open(small_patches), card.input, 70)
    quantise(small_bundle / "model.onnx", tmp_path / "int8.onnx", chosen, method)
    assert check_form(tmp_path / "int8.onnx")["quantised Conv"] == 9


def test_a_full_disk_ends_in_one_line_and_leaves_nothing(small_run, tmp_path):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    command = [sys.executable, "-m", "irdim_export", str(small_run), "--int8"]
    said = subprocess.run(
        [*command, "--out", str(tmp_path / "bundle")], preexec_fn=little_room, capture_output=True, text=True
    )
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1] == "error: File too large; nothing was left half-written"
    assert list(tmp_path.iterdir()) == []


def test_patches_of_another_input_are_refused(small_run, small_patches, tmp_path):
    patches, run = shutil.copytree(small_patches, tmp_path / "patches"), shutil.copytree(small_run, tmp_path / "run")
    for path, change in (
        (patches / "patches.json", lambda d: d.update(frame_step=1)),
        (run / "run.json", lambda d: d.update(patches=str(patches))),
    ):
        said = json.loads(path.read_text())
        change(said)
        path.write_text(json.dumps(said))
    with pytest.raises(InputError, match="cut with frame_step 1, but the run was trained with 2"):
        export(run, tmp_path / "bundle")


def test_settings_are_compared_on_a_stretch_of_each_sequence(small_data):
    with Dataset.open(small_data) as data:
        sequences = data.sequences("train")
        assert [len(frames) for _, frames in stretches(sequences, 7)] == [40] * 4
        some = stretches(sequences, 7, 108)
        assert [len(frames) for _, frames in some] == [27] * 4
        assert some[0][1] == range(6, 33)
        assert len(stretches(sequences, 7, 60)) == 2


def test_a_bundle_of_another_run_is_not_replaced_without_a_word(small_run, small_bundle, tmp_path):
    shutil.copytree(small_bundle, tmp_path / "bundle")
    shutil.copytree(small_run, tmp_path / "again")
    run = tmp_path / "again" / "run.json"
    run.write_text(run.read_text() + "\n")  # another digest
    command = [
        sys.executable,
        "-m",
        "irdim_export",
        "--ranges",
        "minmax",
        "--calibration",
        "64",
        "--out",
        "bundle",
        "--int8",
    ]
    for words, told in (([str(small_run)], False), (["again"], True)):
        done = subprocess.run([*command[:3], *words, *command[3:]], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("replaces a bundle of another run" in done.stdout) is told
