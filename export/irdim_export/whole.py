"""The graph with differencing inside, for runtimes that have no irdim: frames and noise scales in, the output map out."""

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from onnx import compose
from torch import nn
from torch.nn import functional

from irdim.differencing import HIGH_PASS_RADIUS, KNEE, STACK, InputSpec
from irdim_export.graph import INPUT, OPSET

FRAMES, SIGMA = "frames", "sigma"
BYTE = 256.0


class InputLayer(nn.Module):
    """irdim.differencing.network_input for given sigmas and frames that are aligned already.

    Counts are summed as two bytes each, so that every sum over the window is a whole number that float32 holds exactly.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.kind = spec.kind
        self.register_buffer("ones", torch.ones(1, 1, 1, 2 * HIGH_PASS_RADIUS + 1))

    def forward(self, frames: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """frames: (1, 4, H, W) float32, counts, newest first; sigma: (C,) float32, counts. Returns (1, C, H, W)."""
        x = self._high_pass(self._planes(frames)) / sigma.reshape(1, -1, 1, 1)
        y = x.abs() / KNEE
        return torch.sign(x) * KNEE * torch.log(y + torch.sqrt(1 + y * y))

    def _planes(self, frames: torch.Tensor) -> torch.Tensor:
        newest = frames[:, :1]
        if self.kind == "single":
            return newest
        if self.kind == "sequence":
            return frames
        differences = newest - frames[:, 1:]
        return differences if self.kind == "difference" else torch.cat([differences, newest], 1)

    def _high_pass(self, counts: torch.Tensor) -> torch.Tensor:
        high = torch.floor(counts / BYTE)
        low = counts - BYTE * high
        n = self._sum(torch.ones_like(counts[:, :1]))
        return (BYTE * (high * n - self._sum(high)) + (low * n - self._sum(low))) / n

    def _sum(self, x: torch.Tensor) -> torch.Tensor:
        """Over the window, as far as the frame reaches. x: (1, C, H, W)."""
        planes = x.transpose(0, 1)  # each channel for itself
        rows = functional.conv2d(planes, self.ones, padding=(0, HIGH_PASS_RADIUS))
        return functional.conv2d(rows, self.ones.transpose(2, 3), padding=(HIGH_PASS_RADIUS, 0)).transpose(0, 1)


def write_whole(graph: Path, spec: InputSpec, out: Path) -> None:
    """Put the input layer before a graph that write_onnx or quantise wrote. Inputs `frames` (1, 4, H, W) and `sigma` (C,), both float32; H and W
    multiples of the stride; where the input is registered, older frames must be aligned with the newest before."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        front = Path(folder) / "front.onnx"
        torch.onnx.export(
            InputLayer(spec).eval(),
            (torch.zeros(1, STACK, 64, 80), torch.ones(spec.channels)),
            str(front),
            input_names=[FRAMES, SIGMA],
            output_names=[INPUT],
            opset_version=OPSET,
            dynamo=False,
            dynamic_axes={FRAMES: {2: "height", 3: "width"}},
        )
        before = compose.add_prefix(onnx.load(str(front)), "front/", rename_inputs=False, rename_outputs=False)
    network = onnx.load(str(graph))
    before.ir_version = network.ir_version
    network.graph.input[0].name = INPUT
    merged = compose.merge_models(before, network, io_map=[(INPUT, INPUT)])
    onnx.checker.check_model(merged)
    onnx.save(merged, str(out))
