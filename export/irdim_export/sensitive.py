"""Which layers lose most to INT8, measured: each convolution is put back to FP32 alone, and the output's error is compared."""

from pathlib import Path

import numpy as np
import onnx

from irdim_export.graph import drop_unused, outputs

LOOKED_AT = 32  # calibration inputs


def most_sensitive(fp32: Path, int8: Path, inputs: np.ndarray) -> list[tuple[str, float]]:
    """(convolution, decibels by which the output's error falls when it is FP32), the largest first. inputs: (n, C, S, S) float32."""
    looked = inputs[:: max(len(inputs) // LOOKED_AT, 1)][:LOOKED_AT]
    model, wanted = onnx.load(str(int8)), outputs(onnx.load(str(fp32)), looked)
    whole = _error(wanted, outputs(model, looked))
    gains = []
    for name in _quantised_convolutions(model.graph):
        without = _with_fp32(onnx.load(str(fp32)), model, [name])
        gains.append((name, 10 * float(np.log10(whole / max(_error(wanted, outputs(without, looked)), 1e-12)))))
    return sorted(gains, key=lambda gain: -gain[1])


def leave_in_fp32(fp32: Path, int8: Path, out: Path, names: list[str]) -> None:
    """The INT8 graph with these convolutions in FP32."""
    model = _with_fp32(onnx.load(str(fp32)), onnx.load(str(int8)), names)
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


def _with_fp32(fp32: onnx.ModelProto, int8: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """A copy of `int8` in which the named convolutions read what was there before Q/DQ, with the weights of `fp32`."""
    model = onnx.ModelProto()
    model.CopyFrom(int8)
    made_by = {node.output[0]: node for node in model.graph.node}
    weights = {tensor.name: tensor for tensor in fp32.graph.initializer}
    plain = {node.name: node for node in fp32.graph.node}
    for node in model.graph.node:
        if node.name in names:
            node.input[0] = made_by[made_by[node.input[0]].input[0]].input[0]
            node.input[1] = plain[node.name].input[1]
            model.graph.initializer.append(weights[node.input[1]])
    drop_unused(model.graph)
    return model


def _quantised_convolutions(graph: onnx.GraphProto) -> list[str]:
    dequantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return [n.name for n in graph.node if n.op_type == "Conv" and all(i in dequantised for i in n.input[:2])]


def _error(wanted: np.ndarray, found: np.ndarray) -> float:
    return float(np.mean((wanted - found) ** 2))
