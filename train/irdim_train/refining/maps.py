"""What networks say of whole frames: their raw output maps, the mean over several."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from irdim.bundle import ModelCard
from irdim.dataset import Dataset
from irdim.dataset import Sequence as Recording
from irdim.engines import Engine
from irdim.input_step import InputStep
from irdim.sources import Frame


def frame_maps(
    data: Dataset, sequence: Recording, card: ModelCard, engines: Sequence[Engine]
) -> Iterator[tuple[int, np.ndarray]]:
    """(frame, (7, h, w) float32 raw) of every frame with full history; where there are several engines, their mean in logits."""
    step = InputStep(dataclasses.replace(card, interval=sequence.interval))
    frames, times = data.frames(sequence), data.times(sequence)
    for index in range(sequence.length):
        prepared = step.push(Frame(index, float(times[index]), np.asarray(frames[index])))
        if not isinstance(prepared, str):
            yield index, np.mean([engine.run(prepared.image) for engine in engines], axis=0)
