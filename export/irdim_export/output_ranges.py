"""Ranges of activations by what they do to the network's output: of each in turn, the scale with which INT8 comes nearest to FP32 where a detection hangs in
the balance.

What rounds a tensor best by its own values may clip what only targets reach: one cell of a thousand holds a target, so its values hardly count there.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from irdim.grid import CONFIDENCE
from irdim_export.graph import BATCH, INPUT, open_session, outputs

LOOKED_AT = 128  # calibration inputs
FACTORS = (0.5, 0.7, 0.85, 1.2, 1.4, 2.0)  # by which a scale is varied
PASSES = 2
ELSEWHERE = 0.002  # weight of a cell whose confidence is near 0 or 1; at 0.5 it is a quarter


def fit_scales(fp32: Path, int8: Path, inputs: np.ndarray) -> tuple[float, float]:
    """Vary the scale of each quantised activation of the INT8 graph but the input, one after the other, keep what brings its output nearer to that of
    `fp32`, and write the graph anew.

    inputs: (n, C, S, S) float32, calibration patches. Returns the output's error before and after: mean square, of all channels, weighed by p (1 - p) of the
    cell's confidence p.
    """
    looked = inputs[
        np.linspace(0, len(inputs) - 1, min(len(inputs), LOOKED_AT)).astype(int)
    ]  # all kinds, which come in order
    trial = _Trial(int8, looked, outputs(onnx.load(str(fp32)), looked))
    before = error = trial.error()
    for _ in range(PASSES):
        for name in trial.scales:
            for varied in [trial.scales[name] * np.float32(factor) for factor in FACTORS]:
                kept, trial.scales[name] = trial.scales[name], np.asarray(varied, np.float32)
                now = trial.error()
                if now < error:
                    error = now
                else:
                    trial.scales[name] = kept
    trial.write(int8)
    return before, error


class _Trial:
    """An INT8 graph whose activations' scales are inputs. scales: by name, each of shape () float32."""

    def __init__(self, int8: Path, inputs: np.ndarray, wanted: np.ndarray) -> None:
        """wanted: (n, 4 + 1 + classes, h, w) float32, what FP32 gives for the inputs."""
        self._model, self._inputs, self._wanted = onnx.load(str(int8)), inputs, wanted
        sure = 1 / (1 + np.exp(-wanted[:, CONFIDENCE : CONFIDENCE + 1]))
        self._weight = ELSEWHERE + sure * (1 - sure)
        constants = {tensor.name: tensor for tensor in self._model.graph.initializer}
        quantised = [n for n in self._model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] != INPUT]
        self.scales = {n.input[1]: numpy_helper.to_array(constants[n.input[1]]) for n in quantised}
        open_graph = onnx.ModelProto()
        open_graph.CopyFrom(self._model)
        for name, scale in self.scales.items():
            open_graph.graph.initializer.remove(constants[name])
            form = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, scale.shape)
            open_graph.graph.input.append(form)
        self._session = open_session(open_graph, as_written=True)

    def error(self) -> float:
        """See fit_scales."""
        total = 0.0
        for at in range(0, len(self._inputs), BATCH):
            some = slice(at, at + BATCH)
            off = self._session.run(None, {INPUT: self._inputs[some], **self.scales})[0] - self._wanted[some]
            total += float((self._weight[some] * off**2).sum())
        return total / (float(self._weight.sum()) * self._wanted.shape[1])

    def write(self, out: Path) -> None:
        """The graph with the scales as they are now."""
        for tensor in self._model.graph.initializer:
            if tensor.name in self.scales:
                tensor.CopyFrom(numpy_helper.from_array(self.scales[tensor.name], tensor.name))
        onnx.checker.check_model(self._model)
        onnx.save(self._model, str(out))
