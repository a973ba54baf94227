"""FP32 ONNX to INT8 with explicit Q/DQ nodes, by ONNX Runtime's quantiser, in the form that TensorRT takes."""

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from irdim.differencing import INPUT_RANGE
from irdim.errors import InputError
from irdim_calibration.ranges import Histograms, entropy_ranges, histograms, least_square_ranges, percentile_ranges
from irdim_calibration.select import CalibrationSet
from irdim_export.graph import INPUT
from irdim_export.output_ranges import fit_scales

METHODS = ("minmax", "percentile", "entropy", "mse", "output")  # how activation ranges are read
READ_HERE = {
    "percentile": percentile_ranges,
    "entropy": entropy_ranges,
    "mse": least_square_ranges,
    "output": least_square_ranges,
}
QUANTISED = ["Conv", "Add", "MaxPool", "Resize"]


class _Reader(CalibrationDataReader):
    def __init__(self, inputs: np.ndarray) -> None:
        self._batches: Iterator[np.ndarray] = (inputs[i : i + 1] for i in range(len(inputs)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def quantise(
    source: Path,
    out: Path,
    calibration: CalibrationSet,
    method: str = "minmax",
    read: Histograms | None = None,
) -> None:
    """Write the INT8 graph. Activations per tensor, weights per channel, all symmetric INT8; the input's scale comes from the compression
    range and is not calibrated. read: irdim_calibration.ranges.histograms of the source and the patches; where it is None and the method wants it, it is
    read here. Raises InputError for an unknown method or a graph that breaks the rules of `check_form`."""
    if method not in METHODS:
        raise InputError(f"range method '{method}' is not known; choose one of {', '.join(METHODS)}")
    overrides = {INPUT: [{"rmin": np.float32(-INPUT_RANGE), "rmax": np.float32(INPUT_RANGE)}]}
    looked = calibration.inputs
    if method in READ_HERE:
        for name, clip in READ_HERE[method](read or histograms(source, looked)).items():
            overrides[name] = [{"rmin": np.float32(-clip), "rmax": np.float32(clip)}]
        looked = looked[:1]  # what the quantiser reads is replaced, but for tensors that are zero on all patches
    with contextlib.redirect_stdout(io.StringIO()), _warnings_of_root_off():  # it prints, and stdout may be JSON
        _quantise(source, out, looked, overrides)
    if method == "output":
        fit_scales(source, out, calibration.inputs)
    check_form(out)


@contextlib.contextmanager
def _warnings_of_root_off() -> Iterator[None]:
    """The quantiser warns through the root logger of what has been done on purpose."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


def _quantise(source: Path, out: Path, inputs: np.ndarray, overrides: dict[str, list[dict[str, Any]]]) -> None:
    quantize_static(
        str(source),
        str(out),
        _Reader(inputs),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=QUANTISED,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": QUANTISED,
            "TensorQuantOverrides": overrides,
        },
    )


def check_form(path: Path) -> dict[str, int]:
    """Raises InputError unless the graph is what TensorRT asks for: every Q/DQ is INT8 with zero point 0, and the input's scale is the compression range's.
    Returns how many nodes there are: `QuantizeLinear`, `DequantizeLinear`, `Conv`, and `quantised Conv`, those whose input and weights are INT8."""
    graph = onnx.load(str(path)).graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    counts = {"QuantizeLinear": 0, "DequantizeLinear": 0, "Conv": 0, "quantised Conv": 0}
    dequantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = constants.get(node.input[2]) if len(node.input) > 2 else None
            if zero is None or zero.dtype != np.int8 or np.any(zero):
                raise InputError(f"{path}: node {node.name} is not symmetric INT8; TensorRT would refuse it")
            if node.op_type == "QuantizeLinear" and node.input[0] == INPUT:
                scale = float(constants[node.input[1]])
                if abs(scale * 127.5 / INPUT_RANGE - 1) > 0.01:
                    raise InputError(f"{path}: the input's scale is {scale}, not the compression range's")
        if node.op_type in counts:
            counts[node.op_type] += 1
        if node.op_type == "Conv":
            counts["quantised Conv"] += all(i in dequantised for i in node.input[:2])
    return counts
