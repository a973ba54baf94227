"""Layers that lose most to INT8."""

import numpy as np
import onnx

from irdim.engines import open_engine
from irdim_calibration.select import CalibrationSet
from irdim_export.quantise import check_form, quantise
from irdim_export.sensitive import leave_in_fp32, most_sensitive


def test_a_layer_that_was_spoilt_is_found_and_mended(small_bundle, tmp_path):
    fp32, int8 = small_bundle / "model.onnx", tmp_path / "int8.onnx"
    inputs = np.random.default_rng(0).normal(0, 1.5, (16, 4, 32, 32)).astype(np.float32)
    quantise(fp32, int8, CalibrationSet(inputs, np.arange(0), ""))  # the bundle's own is of equalised weights
    model = onnx.load(str(int8))
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    made_by = {n.output[0]: n for n in model.graph.node}
    scale = made_by[convolutions[4].input[1]].input[1]
    for tensor in model.graph.initializer:
        if tensor.name == scale:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 0.5, scale))
    onnx.save(model, str(tmp_path / "spoilt.onnx"))
    ranked = most_sensitive(fp32, tmp_path / "spoilt.onnx", inputs)
    assert ranked[0][0] == convolutions[4].name
    assert ranked[0][1] > 3 > ranked[1][1]
    assert len(ranked) == 9
    leave_in_fp32(fp32, tmp_path / "spoilt.onnx", tmp_path / "mended.onnx", [ranked[0][0]])
    counts = check_form(tmp_path / "mended.onnx")
    assert (counts["Conv"], counts["quantised Conv"]) == (9, 8)
    wanted = [open_engine(fp32).run(x) for x in inputs]
    errors = {
        name: np.mean(
            [(open_engine(tmp_path / f"{name}.onnx").run(x) - w) ** 2 for x, w in zip(inputs, wanted, strict=True)]
        )
        for name in ("spoilt", "mended")
    }
    assert errors["mended"] < 0.5 * errors["spoilt"]
