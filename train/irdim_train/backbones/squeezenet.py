"""SqueezeNet 1.1 (Iandola et al. 2016): first convolution at full resolution, three poolings, fires 2 to 9, to stride 8. Batch norm added: it trains without
the tricks that the original needed."""

import torch
from torch import Tensor, nn

from irdim_train.backbones.layers import conv_relu, scaled

STAGES = (
    ((16, 64),) * 2,
    ((32, 128),) * 2,
    ((48, 192),) * 2 + ((64, 256),) * 2,
)  # squeeze, expand; a pooling before each stage


def squeezenet(channels: int, width: float) -> tuple[nn.Module, int]:
    """See build_backbone."""
    wide = scaled(64, width)
    layers: list[nn.Module] = conv_relu(channels, wide)
    for stage in STAGES:
        layers.append(nn.MaxPool2d(2))
        for squeeze, expand in stage:
            layers.append(Fire(wide, scaled(squeeze, width), scaled(expand, width)))
            wide = 2 * scaled(expand, width)
    return nn.Sequential(*layers), wide


class Fire(nn.Module):
    """A narrow 1x1, then 1x1 and 3x3 side by side."""

    def __init__(self, given: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(*conv_relu(given, squeeze, 1))
        self.one = nn.Sequential(*conv_relu(squeeze, expand, 1))
        self.three = nn.Sequential(*conv_relu(squeeze, expand, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat([self.one(x), self.three(x)], dim=1)
