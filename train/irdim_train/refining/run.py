"""Go through a data set's labels with a trained network and rank those that it disagrees with."""

from collections.abc import Callable, Mapping
from collections.abc import Sequence as ListOf
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from irdim.boxes import IGNORE
from irdim.bundle import ModelCard
from irdim.dataset import Dataset, LabelledBox, Sequence
from irdim.engines import Engine
from irdim.errors import InputError
from irdim_train.devices import choose_device
from irdim_train.refining.context import with_context
from irdim_train.refining.disagreement import Doubt, judge_frame
from irdim_train.refining.folds import fold_engines
from irdim_train.refining.maps import frame_maps
from irdim_train.refining.rates import without_common
from irdim_train.refining.snapshots import snapshot_engines
from irdim_train.refining.thresholds import HISTOGRAM, choose_threshold
from irdim_train.runs import load_model
from irdim_train.torch_engine import TorchEngine

USUAL_FRAMES = 40  # frames of each of so many sequences, from which the usual error of a place is taken
USUAL_SEQUENCES = 8
LEAST_ERROR = 0.3  # px


@dataclass(frozen=True)
class RefineOptions:
    """splits: whose labels are looked at; folds: networks trained without the scenes that they judge, 0 for the run alone; course: whether the
    run's snapshots have a say; context: whether the labels before and after have; threshold: see `choose_threshold`; most: doubts at most, 0 for
    all above the threshold."""

    splits: tuple[str, ...] = ("train", "val")
    folds: int = 0
    course: bool = True
    context: bool = True
    threshold: str = HISTOGRAM
    most: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        choose_threshold(self.threshold, np.zeros(2))
        if self.folds == 1 or self.folds < 0:
            raise InputError(f"--folds {self.folds}: 0 for none, or 2 or more")
        if self.most < 0:
            raise InputError(f"--most {self.most}: 0 or more")


@dataclass(frozen=True)
class Refined:
    """ranked: every doubt with its sequence, the greatest excess first; chosen: how many of them are over the threshold and within `most`; losses:
    nats of each label (id) as it is; usual: px, the usual error of a place; networks: how many had a say in a frame."""

    ranked: ListOf[tuple[Sequence, Doubt]]
    chosen: int
    threshold: float
    losses: Mapping[int, float]
    usual: float
    networks: int
    frames: int


def refine(
    data: Dataset,
    run: Path,
    options: RefineOptions | None = None,
    *,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Refined:
    """Judge every label, and every place without one, of the frames that have full history. Changes nothing.

    progress: called with what is done, how far it is, and how far it goes. Raises InputError where there is no such sequence, no label, or the run's
    patches are gone and folds are asked for.
    """
    options = options or RefineOptions()
    sequences = [s for split in options.splits for s in data.sequences(split)]
    _, card = load_model(run)
    engines = _engines(data, run, options, sequences, progress)
    usual = _usual_error(data, sequences, card, engines)
    found: list[tuple[Sequence, Doubt]] = []
    losses: dict[int, float] = {}
    labels: dict[int, LabelledBox] = {}
    frames = 0
    for number, sequence in enumerate(sequences):
        progress(f"refine {sequence.name}", number, len(sequences))
        boxes, shape = data.boxes(sequence), (sequence.height, sequence.width)
        for index, output in frame_maps(data, sequence, card, engines[sequence.id]):
            judged = judge_frame(output, boxes.get(index, []), index, card.stride, shape, usual)
            found += [(sequence, d) for d in judged.doubts]
            losses |= judged.losses
            labels |= {b.id: b for b in boxes.get(index, []) if b.id in judged.losses}
            frames += 1
        progress(f"refine {sequence.name}", number + 1, len(sequences))
    if not frames:
        raise InputError(
            f"{data.path}: no frame of {' and '.join(options.splits)} has {card.input.history} frames of history; nothing to refine"
        )
    ranked = _ranked(data, found, labels, options)
    threshold = choose_threshold(options.threshold, np.array([d.excess for _, d in ranked]))
    chosen = sum(d.excess > threshold for _, d in ranked)
    networks = len(next(iter(engines.values())))
    return Refined(ranked, min(chosen, options.most or chosen), threshold, losses, usual, networks, frames)


def _ranked(
    data: Dataset, found: list[tuple[Sequence, Doubt]], labels: Mapping[int, LabelledBox], options: RefineOptions
) -> list[tuple[Sequence, Doubt]]:
    classes = {number: b.label for number, b in labels.items()}
    counts = {label: sum(of == label for of in classes.values()) for label in set(classes.values())}
    doubts = without_common([d for _, d in found], classes, counts)
    pairs = [(s, d) for (s, _), d in zip(found, doubts, strict=True)]
    if options.context:
        by_sequence = {s.id: data.boxes(s) for s in {s.id: s for s, _ in pairs}.values()}
        pairs = [(s, with_context(d, by_sequence[s.id], s.length)) for s, d in pairs]
    pairs = [(s, replace(d, excess=float(d.excess), loss=float(d.loss))) for s, d in pairs]
    return sorted(pairs, key=lambda p: (-p[1].excess, p[0].name, p[1].frame))


def _engines(
    data: Dataset,
    run: Path,
    options: RefineOptions,
    sequences: ListOf[Sequence],
    progress: Callable[[str, int, int], None],
) -> dict[int, list[Engine]]:
    """By a sequence's id, the networks that judge it: those that never saw its scene where there are folds, else the run and its course."""
    device = choose_device(options.device)
    model, _ = load_model(run)
    own: list[Engine] = [TorchEngine(model, device)]
    if options.course:
        own += snapshot_engines(run, data, device)
    engines = {s.id: own for s in sequences}
    if options.folds:
        engines |= fold_engines(data, run, options.folds, options.course, device, progress)
    return engines


def _usual_error(
    data: Dataset, sequences: ListOf[Sequence], card: ModelCard, engines: Mapping[int, list[Engine]]
) -> float:
    """px: the mean distance of the network's answers from the labels at which they are, over some frames of some sequences."""
    labelled = [s for s in sequences if any(b.label != IGNORE for of in data.boxes(s).values() for b in of)]
    if not labelled:
        raise InputError(f"{data.path}: nothing is labelled; label first (irdim-train label)")
    errors: list[float] = []
    for sequence in labelled[:: max(len(labelled) // USUAL_SEQUENCES, 1)][:USUAL_SEQUENCES]:
        boxes, shape = data.boxes(sequence), (sequence.height, sequence.width)
        for index, output in islice(frame_maps(data, sequence, card, engines[sequence.id]), USUAL_FRAMES):
            errors += judge_frame(output, boxes.get(index, []), index, card.stride, shape, 1.0).errors
    return max(float(np.mean(errors)), LEAST_ERROR) if errors else 1.0
