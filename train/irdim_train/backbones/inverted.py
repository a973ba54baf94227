"""MobileNet (V2, Sandler et al. 2018) and EfficientNet (B0, Tan & Le 2019): inverted residuals, their first convolution at full resolution, cut where their
map is at stride 8. ReLU for ReLU6 and SiLU, which quantise worse; squeeze-excite over a local window."""

from torch import nn

from irdim_train.backbones.layers import LocalSqueezeExcite, Residual, conv, conv_relu, scaled

# expansion, channels, blocks, stride of the first, kernel
MOBILENET = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3), (6, 96, 3, 1, 3))
EFFICIENTNET = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5))
STEM = 32
SQUEEZE = 4  # squeeze-excite narrows a block's given channels by this


def mobilenet(channels: int, width: float) -> tuple[nn.Module, int]:
    """See build_backbone."""
    return _stack(channels, width, MOBILENET, excite=False)


def efficientnet(channels: int, width: float) -> tuple[nn.Module, int]:
    """See build_backbone."""
    return _stack(channels, width, EFFICIENTNET, excite=True)


def _stack(
    channels: int, width: float, stages: tuple[tuple[int, int, int, int, int], ...], *, excite: bool
) -> tuple[nn.Module, int]:
    wide = scaled(STEM, width)
    layers: list[nn.Module] = conv_relu(channels, wide)
    for expansion, full, blocks, stride, kernel in stages:
        wanted = scaled(full, width)
        for i in range(blocks):
            layers.append(_block(wide, wanted, expansion, stride if i == 0 else 1, kernel, excite))
            wide = wanted
    return nn.Sequential(*layers), wide


def _block(given: int, wanted: int, expansion: int, stride: int, kernel: int, excite: bool) -> nn.Module:
    inner = given * expansion
    body = nn.Sequential(
        *(conv_relu(given, inner, 1) if expansion > 1 else ()),
        *conv_relu(inner, inner, kernel, stride=stride, groups=inner),
        *((LocalSqueezeExcite(inner, max(given // SQUEEZE, 4)),) if excite else ()),
        *conv(inner, wanted, 1),
    )
    return Residual(body) if stride == 1 and given == wanted else body
