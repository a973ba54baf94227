"""Every backbone takes the same INT8 form: all convolutions quantised, both inputs of a residual add dequantised, little lost."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from irdim.differencing import INPUT_RANGE
from irdim.engines import open_engine
from irdim_calibration.ranges import histograms
from irdim_calibration.select import CalibrationSet
from irdim_export.cpu import write_cpu
from irdim_export.graph import INPUT, write_onnx
from irdim_export.quantise import READ_HERE, _quantise, check_form, quantise
from irdim_train.backbones import BACKBONES
from irdim_train.model import GridDetector

SIGNAL_TO_ERROR = 12  # dB; random weights are harder than learnt ones, a wrong scale gives 5 or less


@pytest.fixture(scope="module", params=BACKBONES)
def graphs(request, tmp_path_factory):
    """FP32 and INT8 graph of a network whose batch norms have seen the input, and that input."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp(request.param)
    inputs = (3 * torch.randn(64, 4, 48, 48)).clamp(-15, 15)
    model = GridDetector(request.param, 4, 0.25)
    torch.nn.init.normal_(model.regression.weight, std=0.2)
    with torch.no_grad():
        for _ in range(20):
            model.train()(inputs)
    write_onnx(model.eval(), 4, folder / "fp32.onnx")
    quantise(folder / "fp32.onnx", folder / "int8.onnx", CalibrationSet(inputs.numpy(), np.arange(64), ""))
    return folder, inputs.numpy()


def test_every_convolution_is_quantised(graphs):
    counts = check_form(graphs[0] / "int8.onnx")
    assert counts["Conv"] == counts["quantised Conv"] > 8


def test_residual_adds_are_quantised_on_both_sides(graphs):
    graph = onnx.load(str(graphs[0] / "int8.onnx")).graph
    dequantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type == "Add":
            assert all(name in dequantised for name in node.input), node.name


@pytest.mark.parametrize("method", ["percentile", "mse"])  # 'output' goes on from the latter's
def test_ranges_that_are_read_here_are_those_of_a_quantiser_that_has_seen_all_patches(graphs, tmp_path, method):
    folder, inputs = graphs
    read = histograms(folder / "fp32.onnx", inputs)
    quantise(folder / "fp32.onnx", tmp_path / "new.onnx", CalibrationSet(inputs, np.arange(64), ""), method, read)
    clips = READ_HERE[method](read) | {INPUT: INPUT_RANGE}
    overrides = {name: [{"rmin": np.float32(-c), "rmax": np.float32(c)}] for name, c in clips.items()}
    _quantise(folder / "fp32.onnx", tmp_path / "old.onnx", inputs, overrides)
    new, old = (onnx.load(str(tmp_path / name)).SerializeToString() for name in ("new.onnx", "old.onnx"))
    assert new == old


def test_int8_stays_near_fp32(graphs):
    folder, inputs = graphs
    fp32, int8 = (np.stack([open_engine(folder / f"{p}.onnx").run(x) for x in inputs[:8]]) for p in ("fp32", "int8"))
    error = 10 * np.log10(np.var(fp32) / np.var(int8 - fp32))
    assert error > SIGNAL_TO_ERROR


def test_the_onnx_graph_gives_what_torch_gives_at_another_size(graphs):
    image = np.random.default_rng(0).normal(0, 3, (4, 72, 104)).astype(np.float32)
    assert open_engine(graphs[0] / "fp32.onnx").run(image).shape == (7, 9, 13)


def test_the_graph_for_cpus_gives_the_same_numbers(graphs, tmp_path):
    folder, inputs = graphs
    exact(folder / "int8.onnx", tmp_path / "int8.onnx")
    write_cpu(tmp_path / "int8.onnx", tmp_path / "cpu.onnx")
    symmetric, cpu = (session(tmp_path / name, optimised=False) for name in ("int8.onnx", "cpu.onnx"))
    loud = 3 * inputs[:4]  # beyond the ranges too, where the symmetric form ends at 127
    expected = symmetric.run(None, {"input": loud})[0]
    assert np.var(expected) > 0
    assert np.array_equal(expected, cpu.run(None, {"input": loud})[0])


def test_a_cpu_convolves_in_int8(graphs, tmp_path):
    convolutions = check_form(graphs[0] / "int8.onnx")["Conv"]
    write_cpu(graphs[0] / "int8.onnx", tmp_path / "cpu.onnx")
    kinds = [node.op_type for node in joined(tmp_path / "cpu.onnx", tmp_path).node]
    squeezed = 3 * kinds.count("AveragePool")  # squeeze-excite takes float from the convolution before it, and has two
    assert kinds.count("QLinearConv") >= convolutions - 1 - squeezed > 0
    plain = [node.op_type for node in joined(graphs[0] / "int8.onnx", tmp_path).node]
    assert plain.count("QLinearConv") < kinds.count("QLinearConv")  # else the form is not needed any more


def exact(source, out):
    """Scales and biases on powers of two: sums in float are then the same in whatever order they are made."""
    model = onnx.load(str(source))
    readers = {name: node for node in model.graph.node for name in node.input[1:2] if node.op_type.endswith("Linear")}
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.name in readers:
            value = np.exp2(np.round(np.log2(value)))
        elif value.dtype == np.float32 and value.ndim == 1:
            value = np.round(value * 2**6) / 2**6
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), tensor.name))
    onnx.save(model, str(out))


def session(path, *, optimised, written=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if written is not None:
        options.optimized_model_filepath = str(written)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def joined(path, folder):
    """The graph that ONNX Runtime makes of one."""
    session(path, optimised=True, written=folder / "joined.onnx")
    return onnx.load(str(folder / "joined.onnx")).graph
