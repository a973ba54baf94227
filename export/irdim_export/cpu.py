"""The INT8 graph in the form that ONNX Runtime runs in INT8 on a CPU: the same numbers, other types.

ONNX Runtime joins a convolution with the Q/DQ pairs around it only where its quantisation follows at once, and a ReLU before a symmetric INT8 quantisation
stands between them: it then dequantises, convolves in float and quantises again. Here what is never negative is unsigned with zero point 0, so that quantising
is the ReLU as well, and is cut at 127, where the symmetric form ends; what may be negative is shifted by 128. Every value stays what it was.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from irdim.engines import Engine, open_engine
from irdim_export.graph import INPUT, drop_unused

SHIFTED, ZERO, MOST, BORDER = "cpu.zero_128", "cpu.zero_0", "cpu.most_127", "cpu.border_1"
CONSTANTS = {
    SHIFTED: np.uint8(128),
    ZERO: np.uint8(0),
    MOST: np.uint8(127),
    BORDER: np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
}
POOLING = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4}
STEM = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
WIDEST_STEM = 16  # channels up to which the first convolution gains by four pixels at a time; at 32 it does not


def write_cpu(source: Path, out: Path) -> None:
    """Write the form for CPUs of `source`, an INT8 graph with symmetric Q/DQ pairs (irdim_export.quantise): the same inputs, outputs and values. Raises
    onnx.checker.ValidationError where that is no sound graph."""
    model = onnx.load(str(source))
    _Rewriting(model.graph).run()
    drop_unused(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


def open_rewritten(graph: Path) -> Engine:
    """ONNX Runtime for a graph that lies in a folder to work in: an INT8 one as the edge would run it."""
    form = graph.with_suffix(".cpu.tmp")
    write_cpu(graph, form)
    try:
        return open_engine(form)
    finally:
        form.unlink()


class _Rewriting:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.made_by = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, int] = {o.name: 1 for o in graph.output}
        for node in graph.node:
            for name in node.input:
                self.readers[name] = self.readers.get(name, 0) + 1
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.changed: dict[str, np.ndarray] = dict(CONSTANTS)
        self.unsigned: set[str] = set()  # quantised tensors that are never negative
        self.nodes: list[NodeProto] = []

    def run(self) -> None:
        for node in list(self.graph.node):
            if node.op_type == "QuantizeLinear":
                self._quantise(node)
            elif node.op_type == "DequantizeLinear":
                self._dequantise(node)
            else:
                if node.op_type == "Conv":
                    self._shift_weights(node)
                self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        kept = [tensor for tensor in self.graph.initializer if tensor.name not in self.changed]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        self.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in self.changed.items())
        self.graph.ClearField("value_info")  # types have changed

    def _quantise(self, node: NodeProto) -> None:
        source, scale, out = node.input[0], node.input[1], node.output[0]
        if not self._never_negative(source):
            self._add("QuantizeLinear", [source, scale, SHIFTED], out)
            return
        self.unsigned.add(out)
        conv = self._stem(source)
        found = self._unsigned(source, scale, out) if conv is None else self._four_at_a_time(conv, scale, out)
        self._add("Clip", [found, "", MOST], out)

    def _never_negative(self, name: str) -> bool:
        """What a ReLU made and nothing else reads, or what poolings and concatenations made of it."""
        node = self.made_by.get(name)
        if node is None or (self.readers[name] != 1 and node.op_type != "DequantizeLinear"):
            return False
        if node.op_type in ("MaxPool", "Concat"):
            return all(self._never_negative(given) for given in node.input)
        return node.op_type == "Relu" or (node.op_type == "DequantizeLinear" and node.input[0] in self.unsigned)

    def _unsigned(self, name: str, scale: str, out: str) -> str:
        """The tensor quantised, at the first place where it can be: poolings and concatenations work on whole numbers as well."""
        node = self.made_by[name]
        here = f"{out}.{name}"
        if node.op_type in ("MaxPool", "Concat"):
            copy = NodeProto()
            copy.CopyFrom(node)
            copy.name, copy.output[0] = here, here
            copy.input[:] = [self._unsigned(given, scale, out) for given in node.input]
            self.nodes.append(copy)
            return here
        before = node.input[0] if node.op_type == "Relu" else name
        return self._add("QuantizeLinear", [before, scale, ZERO], here)

    def _dequantise(self, node: NodeProto) -> None:
        given, scale, out = node.input[0], node.input[1], node.output[0]
        if given in self.constants:
            self.nodes.append(node)
            return
        self._add("DequantizeLinear", [given, scale, ZERO if given in self.unsigned else SHIFTED], out)

    def _shift_weights(self, node: NodeProto) -> None:
        """Unsigned weights where the input takes all of 0 to 255: AVX2 adds two products of 255 and a signed weight up in 16 bits, which is one bit too few."""
        given, weight = (self.made_by.get(name) for name in node.input[:2])
        if given is None or weight is None or given.op_type != "DequantizeLinear" or given.input[0] in self.unsigned:
            return
        for name in (weight.input[0], weight.input[2]):
            if name in self.constants and self.constants[name].dtype == np.int8:
                self.changed[name] = _shifted(self.constants[name])

    def _stem(self, name: str) -> NodeProto | None:
        """The first convolution where it is narrow, 3x3 and at full resolution, and `name` is the 2x2 pooling of its ReLU."""
        found = self._made_of(name, ("MaxPool", "Relu", "Conv", "DequantizeLinear", "QuantizeLinear"))
        if found is None or found[-1].input[0] != INPUT or not (_is(found[0], POOLING) and _is(found[2], STEM)):
            return None
        weight = self.made_by.get(found[2].input[1])
        if weight is None or weight.op_type != "DequantizeLinear":
            return None
        return found[2] if self.constants[weight.input[0]].shape[0] <= WIDEST_STEM else None

    def _made_of(self, name: str, kinds: tuple[str, ...]) -> list[NodeProto] | None:
        """The nodes that `name` comes from by way of first inputs, where they are of these kinds, the last step first."""
        found: list[NodeProto] = []
        for kind in kinds:
            node = self.made_by.get(name)
            if node is None or node.op_type != kind:
                return None
            found.append(node)
            name = node.input[0]
        return found

    def _four_at_a_time(self, conv: NodeProto, scale: str, out: str) -> str:
        """The convolution of 2x2 pixels as one place with four times the channels, whose largest of four is the pooling: a few channels at every pixel
        fill no vector, and gathering their 3x3 neighbours is most of the work."""
        given, weight = self.made_by[conv.input[0]], self.made_by[conv.input[1]]
        values = _of_two_by_two(self.constants[weight.input[0]])
        scales = self.constants[weight.input[1]]
        own = {
            "weight": _shifted(values),
            "weight_scale": np.tile(scales, 4),
            "weight_zero": np.full(4 * len(scales), 128, np.uint8),
            "bias": np.tile(self.constants[conv.input[2]], 4),
        }
        self.changed |= {f"{out}.{key}": value for key, value in own.items()}
        padded = self._add("Pad", [given.input[0], BORDER, SHIFTED], f"{out}.padded")
        by_four = self._add("SpaceToDepth", [padded], f"{out}.by_four", blocksize=2)
        x = self._add("DequantizeLinear", [by_four, given.input[1], SHIFTED], f"{out}.x")
        w = self._add(
            "DequantizeLinear", [f"{out}.weight", f"{out}.weight_scale", f"{out}.weight_zero"], f"{out}.w", axis=0
        )
        y = self._add("Conv", [x, w, f"{out}.bias"], f"{out}.y", kernel_shape=[2, 2])
        quantised = self._add("QuantizeLinear", [y, scale, ZERO], f"{out}.quantised")
        parts = [f"{out}.part_{i}" for i in range(4)]
        self.nodes.append(helper.make_node("Split", [quantised], parts, name=f"{out}.split", axis=1, num_outputs=4))
        return self._add("Max", parts, f"{out}.largest")

    def _add(self, kind: str, given: list[str], out: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, given, [out], name=f"{out}.{kind}", **attributes))
        return out


def _is(node: NodeProto, wanted: dict[str, Any]) -> bool:
    there = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return all(there.get(name) == value for name, value in wanted.items())


def _of_two_by_two(weight: np.ndarray) -> np.ndarray:
    """weight: (C, G, 3, 3). Returns (4 C, 4 G, 2, 2): what makes the outputs of a 2x2 block from 2x2 such blocks of an input with one more pixel all round;
    blocks as SpaceToDepth orders them, rows first."""
    count, given = weight.shape[:2]
    out = np.zeros((4, count, 4, given, 2, 2), weight.dtype)
    for down, right, row, column in np.ndindex(2, 2, 3, 3):
        y, x = down + row, right + column
        out[2 * down + right, :, 2 * (y % 2) + x % 2, :, y // 2, x // 2] = weight[:, :, row, column]
    return out.reshape(4 * count, 4 * given, 2, 2)


def _shifted(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.int16) + 128).astype(np.uint8)
