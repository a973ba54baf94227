"""The end of every training: batch-norm statistics from whole frames, then the scale of the scores and the thresholds from whole validation frames."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from irdim.bundle import ModelCard, Thresholds
from irdim.dataset import Dataset
from irdim.metrics import CentreDistance
from irdim.score_scale import fit_scale
from irdim_train.batch_norm import reestimate_batch_norm
from irdim_train.evaluate import evaluate
from irdim_train.torch_engine import TorchEngine

LOWEST = 0.02  # the least score that is kept for tracks
MARGIN = 1e-3  # most by which a threshold is lowered to lie between two scores


def finish_card(
    model: nn.Module,
    card: ModelCard,
    data: Path,
    false_alarms: float | None,
    device: torch.device,
    *,
    freeze_norm: bool = False,
) -> tuple[ModelCard, dict[str, Any]]:
    """Make a trained network ready to be used; its batch norm is changed in place unless it is frozen.

    card: what is known of it so far; false_alarms: a frame, at which the threshold is chosen, None for the best F1. Returns the whole card, and what
    run.json says of the choice: `threshold_chosen` and `scores`.
    """
    with Dataset.open(data) as dataset:
        intervals = [s.interval for s in dataset.sequences() if s.interval]
        card = dataclasses.replace(
            card, interval=float(np.median(intervals)) if intervals else None, thresholds=Thresholds(LOWEST, LOWEST)
        )
        if not freeze_norm:
            reestimate_batch_norm(model, card, dataset, device)
        chosen_on = "val" if dataset.sequences("val") else "train"
        judged = evaluate(card, TorchEngine(model, device), dataset, split=chosen_on)
    raw = judged.metric
    scale = fit_scale(*raw.outcomes())
    metric = raw.scaled(scale)
    report, rule = _report_threshold(metric, false_alarms)
    low = max(LOWEST, report / 4) if report > LOWEST else LOWEST
    card = dataclasses.replace(card, scale=scale, thresholds=Thresholds(report, low))
    chosen = {"on": chosen_on, "sequences": len(judged.per_sequence), "rule": rule}
    return card, {"threshold_chosen": chosen, "scores": {chosen_on: metric.at(report).to_json()}}


def _report_threshold(metric: CentreDistance, false_alarms: float | None) -> tuple[float, str]:
    """The threshold, and the rule that gave it."""
    if false_alarms is not None:
        score, rule = metric.at_false_alarms(false_alarms), f"{false_alarms:g} false alarms a frame"
    elif metric.targets:
        score, rule = metric.best(), "best F1"
    else:
        return 0.5, "0.5, since these frames hold no target"
    return min(max(threshold_between(score.threshold, metric.outcomes()[0]), LOWEST), 1.0), rule


def threshold_between(threshold: float, scores: np.ndarray) -> float:
    """Between the weakest score that is reported and the next, so that what another engine rounds decides nothing."""
    lower = scores[scores < threshold]
    return max((threshold + float(lower.max(initial=0.0))) / 2, threshold - MARGIN)
