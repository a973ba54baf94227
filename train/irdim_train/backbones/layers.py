"""What the backbones are made of. Convolution, batch norm and ReLU always follow each other, since that trio quantises as one."""

from torch import Tensor, nn


def scaled(full: int, width: float) -> int:
    """Channels of a layer under a width multiplier: a multiple of 8, at least 8, which vector units like."""
    return max(8, round(full * width / 8) * 8)


def conv(given: int, wanted: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution and batch norm, same size but for the stride."""
    return [
        nn.Conv2d(given, wanted, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(wanted),
    ]


def conv_relu(given: int, wanted: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution, batch norm, ReLU."""
    return [*conv(given, wanted, kernel, stride=stride, groups=groups), nn.ReLU(inplace=True)]


class Residual(nn.Module):
    """x + body(x), or shortcut(x) + body(x) where the shape changes; then ReLU where asked."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, *, relu: bool = False) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut or nn.Identity()
        self.last = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x) + self.shortcut(x))


class LocalSqueezeExcite(nn.Module):
    """Squeeze and excite (Hu et al. 2018) over a window of fixed size around each place, not over the image: a patch and the frame it was cut from must
    be weighed alike. Hard sigmoid, which quantises as a clip."""

    WINDOW = 5  # cells of the map

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(self.WINDOW, stride=1, padding=self.WINDOW // 2, count_include_pad=False)
        self.gate = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.ReLU(inplace=True), nn.Conv2d(squeezed, channels, 1), nn.Hardsigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.pool(x))
