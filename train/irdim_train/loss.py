"""The paper's loss: a * Loc + b * Class (Eq. 2-4)."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from irdim.grid import CONFIDENCE, FIRST_CLASS
from irdim_train.targets import TargetMaps

ONE_PIXEL = 1 / 8  # cells; where smooth L1 turns from square to straight


@dataclass(frozen=True)
class LossParts:
    """Each (N,): a patch's location loss, class loss (c1, c2) and confidence loss, unweighted."""

    location: Tensor
    classes: Tensor
    confidence: Tensor

    def each(self, a: float, b: float) -> Tensor:
        """(N,) a * Loc + b * Class of every patch; confidence belongs to Class (Eq. 4)."""
        return a * self.location + b * (self.classes + self.confidence)


def paper_loss(output: Tensor, targets: TargetMaps) -> LossParts:
    """output: (N, 7, h, w) raw. Loc is smooth L1 summed over x, y, w, h of the cells that hold a centre (Eq. 3); Class is binary
    cross-entropy summed over c1, c2 there and over the confidence of every judged cell (Eq. 4). Sums, not means: a background cell weighs what a
    target cell weighs, which keeps the confidence a probability; balance comes from the share of target patches that `crop` cuts."""
    here = targets.object[:, None]
    output = output.float()
    place = F.smooth_l1_loss(output[:, :CONFIDENCE], targets.place, reduction="none", beta=ONE_PIXEL)
    kind = F.binary_cross_entropy_with_logits(output[:, FIRST_CLASS:], targets.classes, reduction="none")
    sure = F.binary_cross_entropy_with_logits(output[:, CONFIDENCE], targets.object, reduction="none")
    return LossParts((place * here).sum((1, 2, 3)), (kind * here).sum((1, 2, 3)), (sure * targets.judged).sum((1, 2)))
