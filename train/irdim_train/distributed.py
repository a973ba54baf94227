"""Several processes that train one network, started by torchrun: gradients are averaged, everything else happens in the first one.

Without torchrun there is one rank and nothing is sent.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from irdim.errors import InputError
from irdim_train.batches import Share


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together. device: its own."""

    rank: int
    ranks: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        return Share(self.rank, self.ranks)

    def mean(self, model: nn.Module, *values: float) -> list[float]:
        """Average the gradients of a model, in place, and a few numbers beside them, over the ranks. One message."""
        if self.ranks == 1:
            return list(values)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor(values).to(gradients[0])])
        dist.all_reduce(flat)
        flat /= self.ranks
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()
        return flat[at:].tolist()

    def from_first(self, value: Any) -> Any:
        """The first rank's value, on every rank."""
        if self.ranks == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in order, on every rank."""
        if self.ranks == 1:
            return [value]
        values: list[Any] = [None] * self.ranks
        dist.all_gather_object(values, value)
        return values


ALONE = Ranks(0, 1, torch.device("cpu"))


@contextlib.contextmanager
def join_ranks(device: torch.device) -> Iterator[Ranks]:
    """The ranks that torchrun started (RANK, WORLD_SIZE and LOCAL_RANK in the environment), or this process alone.

    Each rank takes a GPU of its own where `device` is CUDA. Raises InputError where there are fewer GPUs than local ranks.
    """
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    if ranks == 1 or "RANK" not in os.environ:
        yield Ranks(0, 1, device)
        return
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise InputError(
                f"local rank {local}, but {torch.cuda.device_count()} GPUs; start fewer with --nproc-per-node"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), ranks, device)
    finally:
        dist.destroy_process_group()
