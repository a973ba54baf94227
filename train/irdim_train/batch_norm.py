"""Batch-norm statistics of whole frames, and the whole-frame inputs that they are taken from."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from irdim.bundle import ModelCard
from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.history import History, Stack
from irdim.native.input import padded_input
from irdim.sources import Frame

NORM_FRAMES = 48  # whole frames from which batch-norm statistics are taken


@torch.no_grad()
def reestimate_batch_norm(
    model: nn.Module, card: ModelCard, data: Dataset, device: torch.device, seed: int = 0
) -> None:
    """Replace running statistics by those of whole training frames, which hold far less target than patches do. No label is read."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the frames
    model.to(device).train()
    for image in whole_inputs(card, data, NORM_FRAMES, seed):
        model(torch.from_numpy(image)[None].to(device).contiguous(memory_format=torch.channels_last))
    for norm in norms:
        norm.momentum = 0.1
    model.eval()


def whole_inputs(card: ModelCard, data: Dataset, count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Network inputs (C, H, W) of `count` whole training frames, spread over the sequences, each with full history; made one by one, for 48 of a large
    sensor would fill gigabytes. Raises InputError, when the first is asked for, where no sequence is long enough."""
    sequences = [s for s in data.sequences("train") if s.length >= card.input.history]
    if not sequences:
        raise InputError(
            f"{data.path}: no training sequence is {card.input.history} frames long; choose a smaller --frame-step"
        )
    rng = np.random.default_rng(seed)
    picks = rng.permutation(len(sequences))
    for i in itertools.islice(itertools.cycle(picks), count):
        sequence = sequences[i]
        newest = int(rng.integers(card.input.history - 1, sequence.length))
        frames = data.frames(sequence)
        history = History(card.input)
        for index in range(newest - card.input.history + 1, newest):
            history.add(Frame(index, float(index), frames[index]))
        stack = history.push(Frame(newest, float(newest), frames[newest]))
        assert isinstance(stack, Stack)
        yield padded_input(stack.frames, card.input, stack.shifts, card.stride)
