"""The graphs beside the two: differencing inside, and FP16 for the rest."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from irdim.bundle import Bundle
from irdim.differencing import CHANNELS, NO_SHIFT, InputSpec, network_input, noise_scale, planes
from irdim.engines import open_engine
from irdim.engines.agreement import compare_engines
from irdim_export.half import LEAST_SCALE, write_half
from irdim_export.whole import InputLayer, write_whole

RNG = np.random.default_rng(3)
STACKS = {
    "noise on a slope": (3000 + 20 * np.arange(88) + RNG.normal(0, 15, (4, 64, 88))).astype(np.uint16),
    "anything": RNG.integers(0, 65536, (4, 64, 88)).astype(np.uint16),
    "saturated": np.full((4, 64, 88), 65535, np.uint16),
    "8 bits": RNG.integers(0, 256, (4, 64, 88)).astype(np.uint8),
}


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("kind", CHANNELS)
def test_the_input_layer_gives_what_numpy_gives(kind, stack):
    spec = InputSpec(kind)
    sigma = noise_scale(planes(stack, spec, NO_SHIFT), spec)
    found = InputLayer(spec)(torch.from_numpy(stack[None].astype(np.float32)), torch.from_numpy(sigma))[0].numpy()
    assert np.abs(found - network_input(stack, spec, NO_SHIFT, sigma)).max() < 1e-4


@pytest.mark.parametrize("size", [(64, 88), (96, 120)])
def test_the_whole_graph_takes_frames_of_any_size(small_bundle, tmp_path, size):
    bundle = Bundle.load(small_bundle)
    write_whole(bundle.graph("fp32"), bundle.card.input, tmp_path / "whole.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "whole.onnx"), providers=["CPUExecutionProvider"])
    stack, spec = RNG.normal(1000, 12, (4, *size)).astype(np.uint16), bundle.card.input
    sigma = noise_scale(planes(stack, spec, NO_SHIFT), spec)
    found = session.run(None, {"frames": stack[None].astype(np.float32), "sigma": sigma})[0][0]
    expected = open_engine(bundle.graph("fp32")).run(network_input(stack, spec, NO_SHIFT, sigma))
    assert np.abs(found - expected).max() < 1e-3


def test_the_graph_with_fp16_says_what_the_int8_graph_says(small_bundle):
    bundle = Bundle.load(small_bundle)
    half = small_bundle / "model.int8.fp16.onnx"
    assert bundle.files[half.name]
    agreement = compare_engines(open_engine(bundle.graph("int8")), open_engine(half), bundle.samples(), 8)
    assert agreement.holds
    assert agreement.detections > 0
    kinds = {t.data_type for t in onnx.load(str(half)).graph.initializer}
    assert onnx.TensorProto.FLOAT not in kinds


def test_scales_that_fp16_cannot_hold_are_raised(small_bundle, tmp_path):
    model = onnx.load(str(small_bundle / "model.int8.onnx"))
    weight_scales = {n.input[1] for n in model.graph.node if n.op_type == "DequantizeLinear"} - {
        n.input[1] for n in model.graph.node if n.op_type == "QuantizeLinear"
    }
    for tensor in model.graph.initializer:
        if tensor.name in weight_scales:
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[0] = 1e-7
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, str(tmp_path / "tiny.onnx"))
    write_half(tmp_path / "tiny.onnx", tmp_path / "half.onnx")
    half = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(str(tmp_path / "half.onnx")).graph.initializer}
    assert all(half[name].min() >= LEAST_SCALE for name in weight_scales)
