"""DarkNet-19 (Redmon & Farhadi 2017), cut where its map is at stride 8: three poolings, eight convolutions. ReLU instead of leaky ReLU."""

from torch import nn

from irdim_train.backbones.layers import conv_relu, scaled

NANO = (
    (16,),
    (64,),
    (128, 64, 128),
    (256, 128, 256),
)  # half the channels at full resolution, which is where the time goes
STAGES = ((32,), (64,), (128, 64, 128), (256, 128, 256))  # a pooling between stages; the odd ones out are 1x1


def darknet19(channels: int, width: float) -> tuple[nn.Module, int]:
    """See build_backbone."""
    return _stack(channels, width, STAGES)


def nano(channels: int, width: float) -> tuple[nn.Module, int]:
    """See build_backbone. For boards without a GPU."""
    return _stack(channels, width, NANO)


def _stack(channels: int, width: float, stages: tuple[tuple[int, ...], ...]) -> tuple[nn.Module, int]:
    layers: list[nn.Module] = []
    for i, stage in enumerate(stages):
        if i:
            layers.append(nn.MaxPool2d(2))
        for j, full in enumerate(stage):
            wanted = scaled(full, width)
            layers += conv_relu(channels, wanted, 3 if j % 2 == 0 else 1)
            channels = wanted
    return nn.Sequential(*layers), channels
