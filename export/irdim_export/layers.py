"""The layers of an exported graph: their precision and what each costs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from irdim_export.graph import INPUT


@dataclass(frozen=True)
class Layer:
    """One convolution. weight: (out, in / groups, k, k); multiply_adds: at the size asked for."""

    name: str
    weight: tuple[int, ...]
    precision: str  # 'int8' or 'fp32'
    multiply_adds: int


def convolutions(graph: Path, size: tuple[int, int]) -> list[Layer]:
    """All convolutions of a graph, in its order. size: (H, W) of the input, multiples of the stride."""
    model = onnx.load(str(graph))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert model.graph.input[0].name == INPUT
    for dim, value in zip(dims, (1, dims[1].dim_value, *size), strict=True):
        dim.ClearField("dim_param")
        dim.dim_value = value
    for dim in model.graph.output[0].type.tensor_type.shape.dim:
        dim.Clear()
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*inferred.value_info, *inferred.output]
    }
    constants = {i.name: i for i in model.graph.initializer}
    made_by = {node.output[0]: node for node in model.graph.node}
    layers = []
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        source: Any = made_by.get(node.input[1])
        weight = constants[source.input[0] if source is not None else node.input[1]]
        shape = tuple(numpy_helper.to_array(weight).shape)
        both = all(made_by.get(i) is not None and made_by[i].op_type == "DequantizeLinear" for i in node.input[:2])
        adds = int(np.prod(shapes[node.output[0]])) * int(np.prod(shape[1:]))
        layers.append(Layer(node.name, shape, "int8" if both else "fp32", adds))
    return layers


def int8_share(layers: list[Layer]) -> float:
    """Share of the multiply-adds that run in INT8, 0..1."""
    total = sum(layer.multiply_adds for layer in layers)
    return sum(layer.multiply_adds for layer in layers if layer.precision == "int8") / max(total, 1)
