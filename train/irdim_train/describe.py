"""What a network costs and sees, measured on the network itself."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from irdim_train.backbones.layers import LocalSqueezeExcite
from irdim_train.model import GridDetector

FIELD = 512  # px; side of the image in which the receptive field is found


@dataclass(frozen=True)
class Description:
    """parameters: count; multiply_adds: (H, W) to the count of convolutions at that size; receptive_field: px, side of the square that one cell's output
    depends on."""

    parameters: int
    multiply_adds: dict[tuple[int, int], int]
    receptive_field: int


def describe(backbone: str, channels: int, width: float, sizes: tuple[tuple[int, int], ...]) -> Description:
    """sizes: (H, W) of inputs, multiples of the stride."""
    model = GridDetector(backbone, channels, width).eval()
    parameters = sum(p.numel() for p in model.parameters())
    return Description(parameters, {s: _multiply_adds(model, channels, s) for s in sizes}, _field(backbone))


def _multiply_adds(model: nn.Module, channels: int, size: tuple[int, int]) -> int:
    total = 0

    def count(layer: Any, given: Any, output: Tensor) -> None:
        nonlocal total
        total += output[0].numel() * layer.weight[0].numel()

    on_paper = copy.deepcopy(model).to("meta")
    for layer in on_paper.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    on_paper(torch.empty((1, channels, *size), device="meta"))
    return total


def _field(backbone: str) -> int:
    """The extent of the input that one cell depends on: the gradient's, in a narrow twin in which nothing hides (all weights alike, means for maxima). The
    windows of squeeze-excite, which reach further but only weigh, are left out."""
    model = GridDetector(backbone, 1, 0.05).double().eval()
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
            elif isinstance(child, LocalSqueezeExcite):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.Conv2d):
                nn.init.constant_(child.weight, 1 / child.weight[0].numel())
    image = torch.ones((1, 1, FIELD, FIELD), dtype=torch.float64, requires_grad=True)
    output = model(image)
    output[0, 0, output.shape[-2] // 2, output.shape[-1] // 2].backward()
    assert image.grad is not None
    seen = torch.nonzero(image.grad[0, 0].abs().sum(0)).flatten()
    return int(seen.max() - seen.min()) + 1
