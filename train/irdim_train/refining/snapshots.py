"""The course of a training: the network as it was on the way, before it had learnt its wrong labels by heart."""

from pathlib import Path

import torch

from irdim.dataset import Dataset
from irdim.engines import Engine
from irdim_train.batch_norm import reestimate_batch_norm
from irdim_train.runs import SNAPSHOTS, load_model, load_tensors, load_weights
from irdim_train.torch_engine import TorchEngine


def snapshot_engines(run: Path, data: Dataset, device: torch.device) -> list[Engine]:
    """The networks that `fit --snapshots` kept, oldest first; none where it kept none."""
    engines: list[Engine] = []
    for path in sorted((run / SNAPSHOTS).glob("*.pt")):
        model, card = load_model(run)
        load_weights(model, load_tensors(path), path)
        reestimate_batch_norm(model, card, data, device)
        engines.append(TorchEngine(model, device))
    return engines
