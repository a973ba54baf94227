"""Backbones: from the input map (N, C, H, W) to features at stride 8, the first convolution at full resolution. `build_backbone` knows them by name."""

from collections.abc import Callable

from torch import nn

from irdim.errors import InputError
from irdim_train.backbones.darknet import darknet19, nano
from irdim_train.backbones.googlenet import googlenet
from irdim_train.backbones.inverted import efficientnet, mobilenet
from irdim_train.backbones.resnet import resnet18
from irdim_train.backbones.squeezenet import squeezenet

BACKBONES: dict[str, Callable[[int, float], tuple[nn.Module, int]]] = {
    "darknet19": darknet19,
    "resnet18": resnet18,
    "googlenet": googlenet,
    "squeezenet": squeezenet,
    "mobilenet": mobilenet,
    "efficientnet": efficientnet,
    "nano": nano,
}


def build_backbone(name: str, channels: int, width: float) -> tuple[nn.Module, int]:
    """The backbone and how many feature channels it gives. channels: of the input; width: multiplier of every layer's channels."""
    if name not in BACKBONES:
        raise InputError(f"backbone '{name}' is not known; choose one of {', '.join(BACKBONES)}")
    if not 0.05 <= width <= 4:
        raise InputError(f"width {width}: must lie between 0.05 and 4")
    return BACKBONES[name](channels, width)
