"""Backbone and regression layer: the input map to the raw output map that irdim.grid decodes."""

import torch
from torch import Tensor, nn

from irdim.grid import CHANNELS, CONFIDENCE, STRIDE
from irdim_train.backbones import build_backbone

PRIOR = 0.01  # confidence that an untrained network states everywhere, so that the first steps are calm


class GridDetector(nn.Module):
    """(N, C, H, W) float32, in compressed noise sigmas, to (N, 7, H / 8, W / 8)."""

    stride = STRIDE

    def __init__(self, backbone: str, channels: int, width: float) -> None:
        super().__init__()
        self.backbone, features = build_backbone(backbone, channels, width)
        self.regression = nn.Conv2d(features, CHANNELS, 1)
        nn.init.normal_(self.regression.weight, std=0.01)
        with torch.no_grad():
            self.regression.bias.zero_()
            self.regression.bias[:2] = 0.5  # the middle of the cell
            self.regression.bias[CONFIDENCE] = torch.logit(torch.tensor(PRIOR))

    def forward(self, image: Tensor) -> Tensor:
        return self.regression(self.backbone(image))
