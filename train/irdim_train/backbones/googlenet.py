"""GoogLeNet (Szegedy et al. 2015): a 3x3 stem at full resolution, inceptions 3a to 4e, three poolings, to stride 8. Batch norm as in its second version."""

import torch
from torch import Tensor, nn

from irdim_train.backbones.layers import conv_relu, scaled

# 1x1 | 1x1 -> 3x3 | 1x1 -> 5x5 | pool -> 1x1, the paper's Table 1
STAGE_3 = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64))
STAGE_4 = (
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
)


def googlenet(channels: int, width: float) -> tuple[nn.Module, int]:
    """See build_backbone."""
    wide = scaled(64, width)
    layers: list[nn.Module] = [*conv_relu(channels, wide), nn.MaxPool2d(2), *conv_relu(wide, wide, 1)]
    layers += conv_relu(wide, scaled(192, width))
    wide = scaled(192, width)
    for stage in (STAGE_3, STAGE_4):
        layers.append(nn.MaxPool2d(2))
        for full in stage:
            inception = Inception(wide, *(scaled(c, width) for c in full))
            layers.append(inception)
            wide = inception.wanted
    return nn.Sequential(*layers), wide


class Inception(nn.Module):
    """Four branches side by side."""

    def __init__(self, given: int, one: int, into_3: int, three: int, into_5: int, five: int, pooled: int) -> None:
        super().__init__()
        self.wanted = one + three + five + pooled
        self.branches = nn.ModuleList(
            [
                nn.Sequential(*conv_relu(given, one, 1)),
                nn.Sequential(*conv_relu(given, into_3, 1), *conv_relu(into_3, three, 3)),
                nn.Sequential(*conv_relu(given, into_5, 1), *conv_relu(into_5, five, 5)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *conv_relu(given, pooled, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)
