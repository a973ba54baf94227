"""DarkNet-19 (Redmon & Farhadi 2017), cut where its map is at stride 8: three poolings, nine convolutions. ReLU, since Conv-ReLU quantises as one."""

from torch import nn

STAGES = ((32,), (64,), (128, 64, 128), (256, 128, 256))  # a pooling between stages; the odd ones out are 1x1


def darknet19(channels: int, width: float) -> tuple[nn.Module, int]:
    """See build_backbone. The first convolution runs at full resolution."""
    layers: list[nn.Module] = []
    for i, stage in enumerate(STAGES):
        if i:
            layers.append(nn.MaxPool2d(2))
        for j, full in enumerate(stage):
            wanted = max(8, round(full * width / 8) * 8)
            kernel = 3 if j % 2 == 0 else 1
            layers += [
                nn.Conv2d(channels, wanted, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(wanted),
                nn.ReLU(inplace=True),
            ]
            channels = wanted
    return nn.Sequential(*layers), channels
