"""A few inputs that travel with a bundle, on which an engine must agree with ONNX Runtime before it may run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from irdim.boxes import TARGET, Box
from irdim.bundle import ModelCard
from irdim.dataset import Dataset, Sequence
from irdim.input_step import InputStep, Prepared
from irdim.sources import Frame

COUNT = 6
SIZE = (128, 160)  # (H, W) px, so that all of them take about a megabyte


def write_samples(path: Path, card: ModelCard, data: Dataset, split: str) -> None:
    """(COUNT, C, 128, 160) float16: cuts from the inputs of a split's frames, around a target where there is one; zeros where frames are smaller."""
    cuts = [cut for _, cut in zip(range(COUNT), _cuts(card, data, split), strict=False)]
    np.save(path, np.stack(cuts).astype(np.float16))


def _cuts(card: ModelCard, data: Dataset, split: str) -> Iterator[np.ndarray]:
    """One from each sequence in turn, at frames spread over it."""
    sequences = [s for s in data.sequences(split) if s.length >= card.input.history]
    for i in range(COUNT if sequences else 0):
        sequence = sequences[i % len(sequences)]
        last = sequence.length - 1
        newest = last - (i * (last - card.input.history + 1)) // COUNT
        targets = [b for b in data.boxes(sequence).get(newest, []) if b.label == TARGET]
        if (image := _input(card, data, sequence, newest)) is not None:
            yield _cut(image, targets[0] if targets else None)


def _input(card: ModelCard, data: Dataset, sequence: Sequence, newest: int) -> np.ndarray | None:
    step, frames = InputStep(card), data.frames(sequence)
    prepared: Prepared | str = ""
    for index in range(newest - card.input.history + 1, newest + 1):
        prepared = step.push(Frame(index, index * (card.interval or 1.0), frames[index]))
    return prepared.image if isinstance(prepared, Prepared) else None


def _cut(image: np.ndarray, target: Box | None) -> np.ndarray:
    """image: (C, H, W). Returns (C, *SIZE)."""
    _, height, width = image.shape
    y, x = (target.y, target.x) if target else (height / 2, width / 2)
    top = int(np.clip(y - SIZE[0] / 2, 0, max(height - SIZE[0], 0)))
    left = int(np.clip(x - SIZE[1] / 2, 0, max(width - SIZE[1], 0)))
    cut = image[:, top : top + SIZE[0], left : left + SIZE[1]]
    return np.pad(cut, ((0, 0), (0, SIZE[0] - cut.shape[1]), (0, SIZE[1] - cut.shape[2])))
