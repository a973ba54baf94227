"""Networks that never saw what they judge: the scenes in K parts, and for each part a network trained on the others alone."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from irdim.dataset import Dataset
from irdim.engines import Engine
from irdim.errors import InputError
from irdim.patches import SPLITS, Patches
from irdim_train.distributed import Ranks
from irdim_train.fit import fit
from irdim_train.refining.snapshots import snapshot_engines
from irdim_train.runs import FitConfig, is_finished, load_model, read_run
from irdim_train.starters import STARTER, find_starter
from irdim_train.torch_engine import TorchEngine

FOLDS = "folds"  # in the run's folder: folds/K-i-DIGEST, each a run; the digest is of the scenes that it left out
LEFT_OUT = len(SPLITS)  # a split that nobody trains on


def fold_engines(
    data: Dataset,
    run: Path,
    folds: int,
    course: bool,
    device: torch.device,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> dict[int, list[Engine]]:
    """By the id of each training sequence, its out-of-fold networks. Trains, with the run's own options, the folds that are not there yet; an interrupted
    one goes on where it was. They begin at random, as the run did; where it began with weights, with the starter, if one ships for its network.

    Raises InputError where there are fewer scenes than folds, or the run's patches are gone.
    """
    description = read_run(run)
    patches = Patches.open(Path(description["patches"]))
    groups = scenes_for(data, folds)
    order = np.random.default_rng(0).permutation(len(groups))
    part = {groups[g]: i % folds for i, g in enumerate(order.tolist())}
    config = FitConfig(**description["config"])
    config = replace(config, start=start_of_folds(config), freeze_norm=False, whole=0.0)
    engines: dict[int, list[Engine]] = {}
    for i in range(folds):
        out = run / FOLDS / f"{folds}-{i}-{_digest(g for g in groups if part[g] == i)}"
        inside = [s.id for s in data.sequences("train") if part[s.group] == i]

        def tell(step: int, total: int, loss: float, i: int = i) -> None:
            progress(f"fold {i + 1} of {folds}", step, total)

        if not is_finished(out):
            fit(_without(patches, inside), out, config, ranks=Ranks(0, 1, device), progress=tell)
        model, _ = load_model(out)
        own: list[Engine] = [TorchEngine(model, device)]
        own += snapshot_engines(out, data, device) if course else []
        engines |= dict.fromkeys(inside, own)
    return engines


def scenes_for(data: Dataset, folds: int) -> list[str]:
    """The scenes of the training sequences, by name. Raises InputError where there are fewer than folds."""
    groups = sorted({s.group for s in data.sequences("train")})
    if len(groups) < folds:
        raise InputError(f"--folds {folds}: the training sequences are of only {len(groups)} scenes")
    return groups


def start_of_folds(config: FitConfig) -> str | None:
    """FitConfig.start of a run's folds: a run that it began with may have seen these very labels, the starter has not."""
    ships = config.start is not None and find_starter(config.backbone, config.width, config.input) is not None
    return STARTER if ships else None


def _digest(groups: Iterable[str]) -> str:
    """Other scenes make other parts: a network that may have seen what it would judge is not taken."""
    return hashlib.sha256("\0".join(groups).encode()).hexdigest()[:8]


def _without(patches: Patches, sequences: list[int]) -> Patches:
    """The same patch file with those sequences in no split."""
    table = patches.table.copy()
    table["split"][np.isin(table["sequence"], sequences)] = LEFT_OUT
    return replace(patches, table=table)
