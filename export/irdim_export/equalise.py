"""Channels that share a scale are made alike before they are rounded: the same function in FP32, with less error in INT8.

INT8 gives a tensor of activations one scale, so a channel whose values are small is left with few steps of it. A channel can be divided by any s > 0 where
it is written and its weights multiplied by s where it is read, as long as between the two stand only ReLU, pooling, concatenation and gates (Nagel et al.,
Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019). s = a^ALPHA / w^(1 - ALPHA) shares the spread between activations and
weights (Xiao et al., SmoothQuant, ICML 2023): a is the channel's largest activation, w its largest weight as a share of the row that it is rounded with.
What is added up is left alone: to divide all parts of a residual sum alike cost a ResNet-18 more than it gained.
"""

import copy
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

ALPHA = 0.75
LOOKED_AT = 128  # calibration inputs
SAME = 1e-4  # of the largest output; what float32 may differ by
LARGEST = 32.0  # times a scale may lie from the median one
PASSES = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Identity)  # f(s x) = s f(x)
PRODUCTS = (operator.mul, torch.mul)


def equalise(model: nn.Module, inputs: np.ndarray) -> fx.GraphModule:
    """A copy of the network with batch normalisation folded in and channels equalised, in evaluation mode.

    inputs: (n, C, S, S) float32, calibration patches, from which the channels' ranges are read. Raises ValueError where the copy does not compute the same.
    """
    fused = fuse(copy.deepcopy(model).eval()).requires_grad_(False)
    images = torch.from_numpy(inputs[:: max(len(inputs) // LOOKED_AT, 1)])
    run = _Run(fused)
    with torch.no_grad():
        wanted = run.run(images)
        scales = run.channels.scales()
        for name, (read, written) in run.convolutions.items():
            convolution = fused.get_submodule(name)
            _rescale(convolution, torch.from_numpy(scales[read]), torch.from_numpy(scales[written]))
        off = float((fused(images) - wanted).abs().max())
    if not off <= SAME * float(wanted.abs().max()):
        raise ValueError(
            f"equalised channels change the output by {off:.2g}: an operation that is taken for what it is not"
        )
    return fused


def _rescale(convolution: nn.Module, read: Tensor, written: Tensor) -> None:
    """read, written: what its input's and its output's channels have been divided by."""
    assert isinstance(convolution, nn.Conv2d)
    weight = convolution.weight
    if convolution.groups == 1:
        weight *= read.to(weight)[None, :, None, None]
    else:
        weight *= read.to(weight)[:, None, None, None]
    weight /= written.to(weight)[:, None, None, None]
    if convolution.bias is not None:
        convolution.bias /= written.to(weight)


class _Channels:
    """All channels of a network, by number."""

    def __init__(self) -> None:
        self._largest = np.zeros(0)  # activation
        self._weight = np.zeros(0)  # share of its row, 0 where none but a depthwise convolution reads it
        self._fixed = np.zeros(0, bool)

    def new(self, count: int) -> np.ndarray:
        """(count,) channels."""
        first = len(self._fixed)
        for name, empty in (("_largest", 0.0), ("_weight", 0.0), ("_fixed", False)):
            setattr(self, name, np.append(getattr(self, name), np.full(count, empty)))
        return np.arange(first, first + count)

    def fix(self, some: np.ndarray) -> None:
        """Nothing may divide these."""
        self._fixed[some] = True

    def note(self, some: np.ndarray, largest: np.ndarray, weight: np.ndarray | None) -> None:
        """The largest activation of each, and how heavily a convolution reads it."""
        self._largest[some] = np.maximum(self._largest[some], largest)
        if weight is not None:
            self._weight[some] = np.maximum(self._weight[some], weight)

    def scales(self) -> np.ndarray:
        """What each channel is divided by."""
        free = ~self._fixed & (self._largest > 0)
        a, w = self._largest[free], self._weight[free]
        scales = np.ones(len(free))
        scales[free] = np.where(w > 0, a**ALPHA / np.maximum(w, 1e-6) ** (1 - ALPHA), a)
        if free.any():
            middle = float(np.median(scales[free]))
            scales[free] = np.clip(scales[free], middle / LARGEST, middle * LARGEST)
        return scales


class _Run(fx.Interpreter):
    """Runs the network, and finds out which channels each convolution reads and writes."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.channels = _Channels()
        self.convolutions: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # name: channels read, written
        self._of: dict[fx.Node, np.ndarray] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        given = [self._of[node] for node in n.all_input_nodes]
        self._of[n] = self._channels_of(n, given, value)
        return value

    def _channels_of(self, n: fx.Node, given: list[np.ndarray], value: Any) -> np.ndarray:
        module = self.module.get_submodule(str(n.target)) if n.op == "call_module" else None
        if isinstance(module, nn.Conv2d):
            written = self.channels.new(module.out_channels)
            self.convolutions[str(n.target)] = given[0], written
            self.channels.note(given[0], *self._read(n, module))
            return written
        if isinstance(module, PASSES):
            return given[0]
        if n.target is torch.cat:
            return np.concatenate(given)
        if n.target in PRODUCTS and len(given) == 2:
            self.channels.fix(given[1])
            return given[0]
        for channels in given:
            self.channels.fix(channels)
        if not isinstance(value, Tensor) or value.ndim != 4 or n.op == "output":
            return np.empty(0, int)
        made = self.channels.new(value.shape[1])
        self.channels.fix(made)
        return made

    def _read(self, n: fx.Node, module: nn.Conv2d) -> tuple[np.ndarray, np.ndarray | None]:
        (node,) = n.all_input_nodes
        largest = _largest(self.env[node])
        if module.groups > 1:
            return largest, None
        weight = module.weight.abs().amax((2, 3))
        share = (weight / weight.amax(1, keepdim=True).clamp(min=1e-12)).amax(0)
        return largest, share.numpy()


def _largest(value: Any) -> np.ndarray:
    """(C,) the largest absolute value of each channel."""
    return value.abs().amax((0, 2, 3)).numpy()
