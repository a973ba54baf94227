"""ResNet-18 (He et al. 2016): a 3x3 stem at full resolution and a pooling instead of the 7x7 stem, then its first three stages, to stride 8."""

from torch import nn

from irdim_train.backbones.layers import Residual, conv, conv_relu, scaled

STAGES = ((64, 1), (128, 2), (256, 2))  # channels, stride of the first of two blocks


def resnet18(channels: int, width: float) -> tuple[nn.Module, int]:
    """See build_backbone."""
    wide = scaled(64, width)
    layers: list[nn.Module] = [*conv_relu(channels, wide), nn.MaxPool2d(2)]
    for full, stride in STAGES:
        wanted = scaled(full, width)
        layers += [_block(wide, wanted, stride), _block(wanted, wanted, 1)]
        wide = wanted
    return nn.Sequential(*layers), wide


def _block(given: int, wanted: int, stride: int) -> Residual:
    body = nn.Sequential(*conv_relu(given, wanted, stride=stride), *conv(wanted, wanted))
    changed = stride > 1 or given != wanted
    shortcut = nn.Sequential(*conv(given, wanted, 1, stride=stride)) if changed else None
    return Residual(body, shortcut, relu=True)
