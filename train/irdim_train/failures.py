"""What to say when a step of training fails: which patch has no finite loss, which batch would fit into memory."""

import numpy as np
import torch
from torch import Tensor, nn

from irdim_train.batches import Batch
from irdim_train.loss import paper_loss

NAMED = 5  # patches of a failing batch that are named
MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "create a primitive",
    "execute a primitive",
)  # torch and oneDNN


@torch.no_grad()
def patches_to_blame(batch: Batch, average: nn.Module, a: float, b: float) -> str:
    """Those of a batch whose pixels or noise scale are not finite; else the one that the averaged weights, which are still sound, find hardest.

    (The loss that failed says nothing: batch norm spreads one bad patch over all.)
    """
    bad = np.asarray(batch.rows)[~torch.isfinite(batch.image).flatten(1).all(1).cpu().numpy()]
    if len(bad):
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        return f"patch {', '.join(str(n) for n in bad[:NAMED])}{more} is not finite"
    losses = paper_loss(average.eval()(batch.image), batch.targets).each(a, b).nan_to_num(torch.inf)
    return f"patch {int(batch.rows[int(losses.argmax())])} has the largest"


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch failed for want of memory, on whatever device."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(words in str(error) for words in MEMORY)


def batch_that_fits(model: nn.Module, image: Tensor) -> int:
    """The largest half, quarter, ... of a batch (N, C, H, W) that goes through the network and back; 0 where none does."""
    count = len(image) // 2
    while count:
        try:
            model.zero_grad(set_to_none=True)
            model(image[:count]).float().square().mean().backward()
        except (RuntimeError, MemoryError):
            count //= 2
        else:
            return count
        finally:
            model.zero_grad(set_to_none=True)
            if image.device.type == "cuda":
                torch.cuda.empty_cache()
    return 0
