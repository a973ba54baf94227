"""What a new loop was told, held against its data set before anything is written: else a mistake is found out after a training, and stays in loop.json."""

from fnmatch import fnmatchcase
from pathlib import Path

import torch

from irdim.boxes import TARGET
from irdim.dataset import Dataset
from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.history import with_full_history
from irdim_train.crop import check_fits, check_size
from irdim_train.iterating.pool import not_looked_at
from irdim_train.iterating.rules import in_truth
from irdim_train.iterating.state import LoopConfig
from irdim_train.model import GridDetector
from irdim_train.refining.folds import scenes_for


def check_loop(config: LoopConfig, data: Dataset) -> None:
    """Raises InputError where a step of the loop would, as far as that can be known. Writes nothing."""
    data.check_splits()
    _check_labelled(data)
    fit = config.fit_config()
    config.fit_config(before="the run before")
    config.refine_options("auto")
    spec = InputSpec(fit.input, config.frame_step, config.register)
    with torch.device("meta"):  # a network without weights: only whether there is such a one
        GridDetector(fit.backbone, spec.channels, fit.width)
    _check_frames(config, spec, data)
    _check_pool(config, data)
    scenes_for(data, config.folds)
    if config.truth is not None:
        with Dataset.open(Path(config.truth)) as truth:
            asked = not_looked_at(data, config.pool) if config.choose == "random" else data.sequences("train")
            for sequence in asked:
                in_truth(truth, sequence)


def _check_labelled(data: Dataset) -> None:
    """Raises InputError where there is nothing to begin with."""
    of = (b for s in data.sequences("train") for boxes in data.boxes(s).values() for b in boxes)
    if not any(b.label == TARGET for b in of):
        raise InputError(
            f"{data.path}: no training sequence has a labelled target to begin with; label some (irdim-train label)"
        )


def _check_frames(config: LoopConfig, spec: InputSpec, data: Dataset) -> None:
    check_size(config.size)
    for s in [*data.sequences("train"), *data.sequences("val")]:
        check_fits(s, config.size)
    if not any(with_full_history(data.times(s), spec, s.interval).any() for s in data.sequences("train")):
        raise InputError(
            f"{data.path}: no training frame has {spec.history} frames of history; choose a smaller --frame-step"
        )


def _check_pool(config: LoopConfig, data: Dataset) -> None:
    names = [s.name for s in data.sequences("train")]
    for pattern in config.pool:
        if not any(fnmatchcase(name, pattern) for name in names):
            there = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            raise InputError(f"--pool {pattern}: no training sequence of that name; there are {there}")
