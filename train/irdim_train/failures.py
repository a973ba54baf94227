"""What to say when a step of training fails: which patch or frame has no finite loss, which batch would fit into memory."""

import torch
from torch import Tensor, nn

from irdim_train.batches import Batch
from irdim_train.loss import paper_loss

NAMED = 5  # of a failing batch
MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "create a primitive",
    "execute a primitive",
)  # torch and oneDNN


@torch.no_grad()
def what_to_blame(batch: Batch, average: nn.Module, a: float, b: float) -> str:
    """Those of a batch whose pixels or noise scale are not finite; else the one that the averaged weights, which are still sound, find hardest.

    (The loss that failed says nothing: batch norm spreads one bad patch over all.)
    """
    bad = torch.nonzero(~torch.isfinite(batch.image).flatten(1).all(1)).flatten().tolist()
    if bad:
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        return f"{', '.join(batch.name(i) for i in bad[:NAMED])}{more} is not finite"
    losses = paper_loss(average.eval()(batch.image), batch.targets).each(a, b).nan_to_num(torch.inf)
    return f"{batch.name(int(losses.argmax()))} has the largest"


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
