"""What every protocol shares: frames are collected once, then any threshold can be asked for.

A protocol says what changes in a frame's counts when one more detection, the next weaker one, is reported. Sorted over all frames, the sums of
these changes are the counts at every threshold.
"""

import copy
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from irdim.boxes import TARGET, Box, Detection, covers
from irdim.metrics.score import Score
from irdim.score_scale import ScoreScale

NEVER = float("nan")  # the score at which a target is found that no detection finds


class Change(NamedTuple):
    """What reporting one more detection does to a frame's counts. alarms: false alarms, those on interference included; pixels: theirs."""

    score: float
    hits: int
    alarms: int
    on_interference: int = 0
    pixels: int = 0


class Counted(NamedTuple):
    """One frame. changes: of the detections that count, strongest first; targets: how many there are; found_at: for each target the score of the
    detection that finds it, or NEVER; empty where the protocol has no such score."""

    changes: list[Change]
    targets: int
    found_at: list[float]


@dataclass(frozen=True)
class Sweep:
    """Counts at every threshold at which they change, falling: (n,) each."""

    thresholds: np.ndarray
    hits: np.ndarray
    alarms: np.ndarray
    on_interference: np.ndarray
    alarm_pixels: np.ndarray


M = TypeVar("M", bound="Metric")


class Metric(ABC):
    """Collects frames under one protocol. A detection costs 24 bytes, a target 8."""

    counts_pixels = False  # whether the protocol knows how many pixels a false alarm has

    def __init__(self) -> None:
        self._scores = array("d")
        self._changes = tuple(array("i") for _ in Change._fields[1:])
        self._found_at = array("d")
        self._targets = self._frames = self._pixels = 0
        self._seconds: float | None = 0.0

    @property
    @abstractmethod
    def protocol(self) -> str:
        """Its name, printed beside every figure."""

    @abstractmethod
    def _count(self, detections: Sequence[Detection], labels: Sequence[Box], shape: tuple[int, int]) -> Counted:
        """One frame. detections: of targets, strongest first."""

    @property
    def targets(self) -> int:
        """Labelled targets seen so far."""
        return self._targets

    def update(
        self,
        detections: Iterable[Detection],
        labels: Iterable[Box],
        shape: tuple[int, int],
        interval: float | None = None,
    ) -> None:
        """One frame. detections: any order, every score; labels: all boxes of the frame; shape: (H, W); interval: seconds to the next, if known.

        A frame that nobody has looked at (an `ignore` box covers it whole, and no target is labelled) counts for nothing, its time and pixels neither.
        """
        labels = list(labels)
        covered = any(covers(b, shape) for b in labels)
        if covered and not any(b.label == TARGET for b in labels):
            return
        reported = sorted((d for d in detections if d.label == TARGET), key=lambda d: -d.score)
        counted = self._count(reported, labels, shape)
        for score, *counts in counted.changes:
            self._scores.append(score)
            for column, count in zip(self._changes, counts, strict=True):
                column.append(count)
        self._found_at.extend(counted.found_at)
        self._targets += counted.targets
        self._frames += 1
        self._pixels += shape[0] * shape[1]
        self._seconds = None if interval is None or self._seconds is None else self._seconds + interval

    @property
    def frames(self) -> int:
        """How many it has collected."""
        return self._frames

    def extend(self: M, other: M) -> None:
        """Take in all frames that another metric of the same protocol has collected."""
        self._scores.extend(other._scores)
        for column, more in zip(self._changes, other._changes, strict=True):
            column.extend(more)
        self._found_at.extend(other._found_at)
        self._targets += other._targets
        self._frames += other._frames
        self._pixels += other._pixels
        unknown = self._seconds is None or other._seconds is None
        self._seconds = None if unknown else self._seconds + other._seconds  # type: ignore[operator]

    def outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores (n,) of all detections that count, and whether each was a hit (n,) bool."""
        return np.array(self._scores), np.array(self._changes[0]) > 0

    def found_at(self) -> np.ndarray:
        """For every target, in the order of the frames and their labels, the score of the detection that finds it: (targets,), NaN where none does.

        Raises TypeError under a protocol in which a weaker detection can undo a stronger one's hit.
        """
        if len(self._found_at) != self._targets:
            raise TypeError(f"{self.protocol}: a target has no one score at which it is found")
        return np.array(self._found_at)

    def scaled(self: M, scale: ScoreScale) -> M:
        """The same detections with scaled scores."""
        other = copy.deepcopy(self)
        other._scores = array("d", scale(np.array(self._scores)))
        other._found_at = array("d", scale(np.array(self._found_at)))
        return other

    def at(self, threshold: float) -> Score:
        """The score when only detections of at least `threshold` are reported."""
        reported = np.array(self._scores) >= threshold
        hits, alarms, on_interference, pixels = (int(np.array(c)[reported].sum()) for c in self._changes)
        return Score(
            protocol=self.protocol,
            threshold=threshold,
            true_positives=hits,
            false_positives=alarms,
            on_interference=on_interference,
            targets=self._targets,
            frames=self._frames,
            pixels=self._pixels,
            seconds=self._seconds,
            false_alarm_pixels=pixels if self.counts_pixels else None,
        )

    def best(self) -> Score:
        """The threshold of the highest F1 (the highest such threshold where several tie)."""
        sweep = self.sweep()
        if not sweep.thresholds.size:
            return self.at(1.0)
        f1 = 2 * sweep.hits / np.maximum(sweep.hits + sweep.alarms + self._targets, 1)
        return self.at(float(sweep.thresholds[int(np.argmax(f1))]))

    def at_false_alarms(self, per_frame: float) -> Score:
        """The lowest threshold with at most `per_frame` false alarms a frame."""
        sweep = self.sweep()
        if not sweep.thresholds.size:
            return self.at(1.0)
        allowed = np.flatnonzero(sweep.alarms <= per_frame * self._frames)
        return self.at(float(sweep.thresholds[allowed[-1]] if allowed.size else np.nextafter(sweep.thresholds[0], 2)))

    def curve(self, points: int | None = None) -> dict[str, list[float]]:
        """Thresholds, falling, with precision, recall and false alarms a frame at each; at most about `points` of them, evenly spread over the
        curve's length in precision and recall."""
        sweep = self.sweep()
        precision = sweep.hits / np.maximum(sweep.hits + sweep.alarms, 1)
        recall = sweep.hits / max(self._targets, 1)
        kept = _evenly(precision, recall, points)
        columns = {
            "threshold": sweep.thresholds,
            "precision": precision,
            "recall": recall,
            "false_alarms_per_frame": sweep.alarms / max(self._frames, 1),
        }
        if self.counts_pixels:
            columns["false_alarm_pixels_per_pixel"] = sweep.alarm_pixels / max(self._pixels, 1)
        return {name: column[kept].tolist() for name, column in columns.items()}

    def sweep(self) -> Sweep:
        """Counts at every threshold: one sort, whatever the number of thresholds."""
        scores = np.array(self._scores)
        order = np.argsort(-scores, kind="stable")
        scores = scores[order]
        last = np.flatnonzero(np.append(np.diff(scores) != 0, True)[: scores.size])  # equal scores enter together
        return Sweep(scores[last], *(np.cumsum(np.array(c, np.int64)[order])[last] for c in self._changes))


def _evenly(precision: np.ndarray, recall: np.ndarray, points: int | None) -> np.ndarray:
    """Indices of a curve's points, first and last among them."""
    if points is None or precision.size <= points:
        return np.arange(precision.size)
    length = np.append(0, np.cumsum(np.hypot(np.diff(precision), np.diff(recall))))
    wanted = np.linspace(0, length[-1], points)
    return np.unique(np.append(np.searchsorted(length, wanted).clip(0, precision.size - 1), precision.size - 1))
