import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from irdim.engines import open_engine
from irdim.grid import CONFIDENCE
from irdim.patches import Patches
from irdim_calibration.select import choose_patches
from irdim_export.graph import INPUT
from irdim_export.output_ranges import fit_scales
from irdim_export.quantise import check_form, quantise
from irdim_train.runs import load_model


@pytest.fixture(scope="module")
def calibration(small_patches, small_run):
    _, card = load_model(small_run)
    return choose_patches(Patches.open(small_patches), card.input, 64)


def scales(path):
    graph = onnx.load(str(path)).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    return {n.input[0]: float(constants[n.input[1]]) for n in graph.node if n.op_type == "QuantizeLinear"}


def error(fp32, int8, inputs):
    """The mean square error of the output, weighed by p (1 - p), a frame at a time."""
    reference, engine = open_engine(fp32), open_engine(int8)
    total = weights = 0.0
    for image in inputs:
        wanted = reference.run(image)
        sure = 1 / (1 + np.exp(-wanted[CONFIDENCE]))
        weight = 0.002 + sure * (1 - sure)
        total += (weight * ((engine.run(image) - wanted) ** 2).mean(0)).sum()
        weights += weight.sum()
    return total / weights


def test_scales_that_clip_are_found_and_mended(small_bundle, calibration, tmp_path):
    fp32, int8 = small_bundle / "model.onnx", tmp_path / "int8.onnx"
    quantise(fp32, int8, calibration, "minmax")
    sound = error(fp32, int8, calibration.inputs)
    spoilt, model = list(scales(int8))[-2], onnx.load(str(int8))
    name = next(n.input[1] for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == spoilt)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / np.float32(4), name))
    onnx.save(model, str(int8))
    broken = error(fp32, int8, calibration.inputs)
    assert broken > 10 * sound
    before, after = fit_scales(fp32, int8, calibration.inputs)
    assert after < before / 3
    assert error(fp32, int8, calibration.inputs) < broken / 3
    assert check_form(int8)["quantised Conv"] == 9


def test_the_inputs_scale_stays_and_the_output_comes_nearer(small_bundle, calibration, tmp_path):
    fp32, by_value, by_output = small_bundle / "model.onnx", tmp_path / "mse.onnx", tmp_path / "output.onnx"
    quantise(fp32, by_value, calibration, "mse")
    quantise(fp32, by_output, calibration, "output")
    assert scales(by_value)[INPUT] == scales(by_output)[INPUT]
    assert error(fp32, by_output, calibration.inputs) < error(fp32, by_value, calibration.inputs)
