"""The INT8 graph with FP16 for all that is not INT8, for TensorRT versions in which layers take the types that the graph has."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from irdim_export.graph import INPUT, OUTPUT

OPSET = 19  # the first in which Q/DQ scales may be FP16
LEAST_SCALE = 2.0**-14  # the smallest normal FP16
FLOAT_ARGUMENTS = {"Resize": (1, 2)}  # inputs that stay float32 whatever the data are
HALF = ".half"  # what the names of the tensors behind the casts end in


def write_half(source: Path, out: Path) -> None:
    """source: INT8 graph with FP32 for the rest. The input and the output stay FP32; scales of weights that FP16 cannot hold are raised, and the weights
    rounded anew."""
    model = onnx.load(str(source))
    graph = model.graph
    _raise_scales(graph)
    kept = {
        name for node in graph.node for i in FLOAT_ARGUMENTS.get(node.op_type, ()) for name in node.input[i : i + 1]
    }
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.t.data_type == TensorProto.FLOAT and node.output[0] not in kept:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float16)))
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
        node.input[:] = [INPUT + HALF if name == INPUT else name for name in node.input]
        node.output[:] = [OUTPUT + HALF if name == OUTPUT else name for name in node.output]
    graph.node.insert(0, helper.make_node("Cast", [INPUT], [INPUT + HALF], to=TensorProto.FLOAT16))
    graph.node.append(helper.make_node("Cast", [OUTPUT + HALF], [OUTPUT], to=TensorProto.FLOAT))
    graph.ClearField("value_info")
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = OPSET
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


def _raise_scales(graph: onnx.GraphProto) -> None:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in constants:
            continue
        weight, scale = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
        if scale.min() >= LEAST_SCALE:
            continue
        raised = np.maximum(scale, np.float32(LEAST_SCALE))
        ratio = (scale / raised).reshape(-1, *(1,) * (weight.ndim - 1))
        rounded = np.rint(weight * ratio).astype(np.int8)
        for name, value in zip(node.input[:2], (rounded, raised), strict=False):
            constants[name].CopyFrom(numpy_helper.from_array(value, name))
