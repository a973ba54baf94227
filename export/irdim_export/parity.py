"""FP32 and INT8 side by side on the same frames."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from irdim.bundle import ModelCard
from irdim.dataset import Dataset
from irdim.detector import Detector, InputStep, Prepared
from irdim.engines import Engine
from irdim.errors import InputError
from irdim.metrics import CentreDistance
from irdim.sources import Frame


def score_side_by_side(
    card: ModelCard,
    engines: Mapping[str, Engine],
    data: Dataset,
    split: str,
    progress: Callable[[int], None] = lambda frames: None,
) -> dict[str, Any]:
    """Every engine on every whole frame of a split, each input made once. Returns its score at the card's report threshold for each, and
    how many reported detections of the first the second does not have within 1 px, and the other way round."""
    metrics = {name: CentreDistance() for name in engines}
    changed = 0
    reported = 0
    sequences = data.sequences(split)
    if not sequences:
        raise InputError(f"{data.path}: no sequences in split '{split}'")
    for sequence in sequences:
        step = InputStep(dataclasses.replace(card, interval=sequence.interval))
        detectors = {name: Detector(card, engine) for name, engine in engines.items()}
        frames, times, labels = data.frames(sequence), data.times(sequence), data.boxes(sequence)
        for index in range(sequence.length):
            prepared = step.push(Frame(index, float(times[index]), frames[index]))
            if not isinstance(prepared, Prepared):
                for detector in detectors.values():
                    detector.reset()
                continue
            found = {name: detector.detect(prepared) for name, detector in detectors.items()}
            for name, detections in found.items():
                metrics[name].update(detections, list(labels.get(index, [])), prepared.shape)
            first, second = ([d for d in ds if d.score >= card.thresholds.report] for ds in found.values())
            reported += len(first) + len(second)
            changed += sum(_alone(d, second) for d in first) + sum(_alone(d, first) for d in second)
        progress(sequence.length)
    scores = {name: metric.at(card.thresholds.report).to_json() for name, metric in metrics.items()}
    return {**scores, "split": split, "reported": reported, "changed": changed}


def _alone(detection: Any, others: list[Any]) -> bool:
    return not any((detection.x - o.x) ** 2 + (detection.y - o.y) ** 2 <= 1 for o in others)
