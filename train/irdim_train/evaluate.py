"""Score a network on whole frames of a data set, through the very detector that the edge runs."""

import dataclasses
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from irdim.boxes import Box, Detection
from irdim.bundle import ModelCard
from irdim.dataset import Dataset, Sequence
from irdim.detector import Detector
from irdim.differencing import network_input
from irdim.engines import Engine
from irdim.errors import InputError
from irdim.grid import pad_to_stride
from irdim.history import History, Stack
from irdim.metrics import DEFAULT_RADIUS, CentreDistance
from irdim.sources import Frame

MOST_THREADS = 8  # sequences that are run at a time
NORM_FRAMES = 48  # whole frames from which batch-norm statistics are taken


@dataclass
class Evaluation:
    """metric: every frame that had full history; warming: frames without; per_sequence: name to its own metric; detections: (name, frame) to
    what the detector gave."""

    metric: CentreDistance
    warming: int = 0
    per_sequence: dict[str, CentreDistance] = field(default_factory=dict)
    detections: dict[tuple[str, int], list[Detection]] = field(default_factory=dict)


def evaluate(
    card: ModelCard,
    engine: Engine,
    data: Dataset,
    *,
    split: str = "test",
    radius: float = DEFAULT_RADIUS,
    progress: Callable[[Sequence, int], None] = lambda sequence, frames: None,
) -> Evaluation:
    """Run every sequence of a split through a Detector and score it by centre distance within `radius` px.

    Detections go into the metric from the card's low threshold upwards. Raises InputError where the split is empty.
    """
    sequences = data.sequences(split)
    if not sequences:
        raise InputError(
            f"{data.path}: no sequences in split '{split}'; choose another --split or import with --{split} GLOB"
        )
    result = Evaluation(CentreDistance(radius))
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), MOST_THREADS)) as threads:
        for sequence, steps in zip(
            sequences, threads.map(lambda s: _detect(card, engine, data, s), sequences), strict=True
        ):
            own = result.per_sequence[sequence.name] = CentreDistance(radius)
            labels = data.boxes(sequence)
            for index, found in enumerate(steps):
                if found is None:
                    result.warming += 1
                    continue
                boxes: list[Box] = list(labels.get(index, []))
                for metric in (result.metric, own):
                    metric.update(found, boxes, (sequence.height, sequence.width))
                result.detections[sequence.name, index] = found
            progress(sequence, sequence.length)
    if not result.detections:
        raise InputError(
            f"{data.path}: no frame in split '{split}' has {card.input.history} frames of history; nothing to score"
        )
    return result


def _detect(card: ModelCard, engine: Engine, data: Dataset, sequence: Sequence) -> list[list[Detection] | None]:
    """What a detector gives for each frame of a sequence; None for a frame without full history."""
    detector = Detector(dataclasses.replace(card, interval=sequence.interval), engine)  # its own gaps are gaps
    with Dataset.open(data.path) as own:  # a connection belongs to its thread
        frames, times = own.frames(sequence), own.times(sequence)
        steps = (detector.push(Frame(i, float(times[i]), frames[i])) for i in range(sequence.length))
        return [step.detections if step.status == "ok" else None for step in steps]


def default_split(data: Dataset) -> str:
    """The first of test, val and train that has sequences."""
    return next((split for split in ("test", "val", "train") if data.sequences(split)), "test")


def rescore(result: Evaluation, data: Dataset, split: str, radius: float) -> CentreDistance:
    """The same detections under another radius."""
    metric = CentreDistance(radius)
    for sequence in data.sequences(split):
        labels = data.boxes(sequence)
        for index in range(sequence.length):
            if (sequence.name, index) in result.detections:
                found = result.detections[sequence.name, index]
                metric.update(found, list(labels.get(index, [])), (sequence.height, sequence.width))
    return metric


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


def whole_inputs(card: ModelCard, data: Dataset, count: int, seed: int = 0) -> list[np.ndarray]:
    """Network inputs (C, H, W) of `count` whole training frames, spread over the sequences, each with full history."""
    sequences = [s for s in data.sequences("train") if s.length >= card.input.history]
    if not sequences:
        raise InputError(
            f"{data.path}: no training sequence is {card.input.history} frames long; choose a smaller --frame-step"
        )
    rng = np.random.default_rng(seed)
    picks = rng.permutation(len(sequences))
    images = []
    for i in range(count):
        sequence = sequences[picks[i % len(picks)]]
        newest = int(rng.integers(card.input.history - 1, sequence.length))
        frames = data.frames(sequence)
        history = History(card.input)
        stack: Stack | str = ""
        for index in range(newest - card.input.history + 1, newest + 1):
            stack = history.push(Frame(index, float(index), frames[index]))
        assert isinstance(stack, Stack)
        images.append(pad_to_stride(network_input(stack.frames, card.input, stack.shifts), card.stride))
    return images
