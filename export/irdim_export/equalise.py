"""Channels that share a scale are made alike before they are rounded: the same function in FP32, with less error in INT8.

INT8 gives a tensor of activations one scale, so a channel whose values are small is left with few steps of it. A channel can be divided by any s > 0 where
it is written and its weights multiplied by s where it is read, as long as between the two stand only ReLU, pooling, concatenation, gates, and sums whose
other part is divided alike (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019). s = a^ALPHA / w^(1 - ALPHA)
shares the spread between activations and weights (Xiao et al., SmoothQuant, ICML 2023): a is the channel's largest activation, w its largest weight as a
share of the row that it is rounded with.
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
SUMS, PRODUCTS = (operator.add, torch.add), (operator.mul, torch.mul)


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
    """All channels of a network; those that must be divided alike are one (a union-find)."""

    def __init__(self) -> None:
        self._same: list[int] = []
        self._largest: list[float] = []  # activation
        self._weight: list[float] = []  # share of its row, 0 where none but a depthwise convolution reads it
        self._fixed: list[bool] = []

    def new(self, count: int, *, fixed: bool = False) -> np.ndarray:
        """(count,) channels; fixed: that nothing may divide."""
        first = len(self._same)
        self._same += range(first, first + count)
        self._largest += [0.0] * count
        self._weight += [0.0] * count
        self._fixed += [fixed] * count
        return np.arange(first, first + count)

    def join(self, some: np.ndarray, others: np.ndarray) -> None:
        """Channel for channel one."""
        for one, other in zip(map(self._root, some), map(self._root, others), strict=True):
            if one != other:
                self._same[other] = one
                self._largest[one] = max(self._largest[one], self._largest[other])
                self._weight[one] = max(self._weight[one], self._weight[other])
                self._fixed[one] |= self._fixed[other]

    def fix(self, some: np.ndarray) -> None:
        """Nothing may divide these."""
        for one in map(self._root, some):
            self._fixed[one] = True

    def note(self, some: np.ndarray, largest: np.ndarray, weight: np.ndarray | None = None) -> None:
        """The largest activation of each, and how heavily it is read."""
        for i, one in enumerate(map(self._root, some)):
            self._largest[one] = max(self._largest[one], float(largest[i]))
            if weight is not None:
                self._weight[one] = max(self._weight[one], float(weight[i]))

    def scales(self) -> np.ndarray:
        """What each channel is divided by."""
        roots = np.array([self._root(i) for i in range(len(self._same))])
        a, w = np.array(self._largest)[roots], np.array(self._weight)[roots]
        free = ~np.array(self._fixed)[roots] & (a > 0)
        scales = np.ones(len(roots))
        scales[free] = np.where(w[free] > 0, a[free] ** ALPHA / np.maximum(w[free], 1e-6) ** (1 - ALPHA), a[free])
        if free.any():
            middle = float(np.median(scales[free]))
            scales[free] = np.clip(scales[free], middle / LARGEST, middle * LARGEST)
        return scales

    def _root(self, one: int) -> int:
        while self._same[one] != one:
            self._same[one] = self._same[self._same[one]]
            one = self._same[one]
        return one


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
        if n.target in SUMS and len(given) == 2:
            for channels, node in zip(given, n.all_input_nodes, strict=True):
                self.channels.note(channels, _largest(self.env[node]))
            self.channels.join(*given)
            return given[0]
        if n.target in PRODUCTS and len(given) == 2:
            self.channels.fix(given[1])
            return given[0]
        for channels in given:
            self.channels.fix(channels)
        is_map = isinstance(value, Tensor) and value.ndim == 4 and n.op != "output"
        return self.channels.new(value.shape[1], fixed=True) if is_map else np.empty(0, int)

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
