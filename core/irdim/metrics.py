"""How detections are scored against labels. Default protocol centre-3px: one-to-one by centre distance within 3 px.

In each frame the strongest detection chooses first, the nearest free target within the radius; so one pass gives the counts at every threshold.
Only `target` counts. A target detection on an `interference` label is a false alarm, counted apart as well; one inside an `ignore` box counts for nothing.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box, Detection
from irdim.score_scale import ScoreScale

DEFAULT_RADIUS = 3.0  # px
HIT, FALSE_ALARM, FALSE_ALARM_ON_INTERFERENCE = 1, 0, -1


@dataclass(frozen=True)
class Score:
    """Counts and rates at one threshold of one protocol."""

    protocol: str
    threshold: float
    true_positives: int
    false_positives: int
    on_interference: int
    targets: int
    frames: int
    pixels: int

    @property
    def precision(self) -> float:
        """Eq. (5); 0 where nothing was detected."""
        return self.true_positives / max(self.true_positives + self.false_positives, 1)

    @property
    def recall(self) -> float:
        """Eq. (6); also Pd."""
        return self.true_positives / max(self.targets, 1)

    @property
    def f1(self) -> float:
        """Eq. (7)."""
        return 2 * self.true_positives / max(self.true_positives + self.false_positives + self.targets, 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "threshold": round(self.threshold, 6),
            "precision": round(self.precision, 6),
            "recall": round(self.recall, 6),
            "f1": round(self.f1, 6),
            "false_alarms_per_frame": round(self.false_positives / max(self.frames, 1), 6),
            "false_alarms_per_pixel": self.false_positives / max(self.pixels, 1),
            "true_positives": self.true_positives,
            "false_positives": self.false_positives,
            "on_interference": self.on_interference,
            "targets": self.targets,
            "frames": self.frames,
        }


class CentreDistance:
    """Collects frames, then answers at any threshold."""

    def __init__(self, radius: float = DEFAULT_RADIUS) -> None:
        self.radius = radius
        self._scores: list[float] = []
        self._outcomes: list[int] = []
        self._targets = self._frames = self._pixels = 0

    @property
    def targets(self) -> int:
        """Labelled targets seen so far."""
        return self._targets

    @property
    def protocol(self) -> str:
        return f"centre-{self.radius:g}px"

    def update(self, detections: Iterable[Detection], labels: Iterable[Box], shape: tuple[int, int]) -> None:
        """One frame. detections: any order, every score; labels: all boxes of the frame; shape: (H, W)."""
        labels = list(labels)
        targets = [b for b in labels if b.label == TARGET]
        self._targets += len(targets)
        self._frames += 1
        self._pixels += shape[0] * shape[1]
        for detection, outcome in match_frame(detections, labels, self.radius):
            self._scores.append(detection.score)
            self._outcomes.append(outcome)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores (n,) of all detections that count, and whether each was a hit (n,) bool."""
        return np.array(self._scores), np.array(self._outcomes, int) == HIT

    def scaled(self, scale: ScoreScale) -> "CentreDistance":
        """The same detections with scaled scores."""
        other = copy.copy(self)
        other._scores = scale(np.array(self._scores)).tolist()
        return other

    def at(self, threshold: float) -> Score:
        """The score when only detections of at least `threshold` are reported."""
        outcomes = np.array(self._outcomes)[np.array(self._scores) >= threshold] if self._scores else np.zeros(0, int)
        return self._score(threshold, outcomes)

    def best(self) -> Score:
        """The threshold of the highest F1 (the highest such threshold where several tie)."""
        if not self._scores:
            return self.at(1.0)
        thresholds, hits, alarms = self._cumulative()
        f1 = 2 * hits / np.maximum(hits + alarms + self._targets, 1)
        return self.at(float(thresholds[int(np.argmax(f1))]))

    def at_false_alarms(self, per_frame: float) -> Score:
        """The lowest threshold with at most `per_frame` false alarms a frame."""
        if not self._scores:
            return self.at(1.0)
        thresholds, _, alarms = self._cumulative()
        allowed = np.flatnonzero(alarms <= per_frame * self._frames)
        return self.at(float(thresholds[allowed[-1]]) if allowed.size else float(np.nextafter(thresholds[0], 2)))

    def curve(self) -> dict[str, list[float]]:
        """Thresholds, falling, with precision, recall and false alarms a frame at each."""
        if not self._scores:
            return {"threshold": [], "precision": [], "recall": [], "false_alarms_per_frame": []}
        thresholds, hits, alarms = self._cumulative()
        return {
            "threshold": thresholds.tolist(),
            "precision": (hits / np.maximum(hits + alarms, 1)).tolist(),
            "recall": (hits / max(self._targets, 1)).tolist(),
            "false_alarms_per_frame": (alarms / max(self._frames, 1)).tolist(),
        }

    def _cumulative(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores, outcomes = np.array(self._scores), np.array(self._outcomes)
        order = np.argsort(-scores, kind="stable")
        scores, hit = scores[order], outcomes[order] == HIT
        last = np.flatnonzero(np.append(np.diff(scores) != 0, True))  # equal scores enter together
        return scores[last], np.cumsum(hit)[last], np.cumsum(~hit)[last]

    def _score(self, threshold: float, outcomes: np.ndarray) -> Score:
        hits = int((outcomes == HIT).sum())
        on_interference = int((outcomes == FALSE_ALARM_ON_INTERFERENCE).sum())
        return Score(
            self.protocol,
            threshold,
            hits,
            len(outcomes) - hits,
            on_interference,
            self._targets,
            self._frames,
            self._pixels,
        )


def match_frame(detections: Iterable[Detection], labels: Sequence[Box], radius: float) -> list[tuple[Detection, int]]:
    """Each target detection that counts, strongest first, with HIT, FALSE_ALARM or FALSE_ALARM_ON_INTERFERENCE."""
    free = [b for b in labels if b.label == TARGET]
    decoys = [b for b in labels if b.label == INTERFERENCE]
    ignored = [b for b in labels if b.label == IGNORE]
    outcomes = []
    for d in sorted((d for d in detections if d.label == TARGET), key=lambda d: -d.score):
        nearest = min(free, key=lambda b: _squared(d, b), default=None)
        if nearest is not None and _squared(d, nearest) <= radius**2:
            free.remove(nearest)
            outcomes.append((d, HIT))
        elif any(abs(d.x - b.x) <= b.w / 2 and abs(d.y - b.y) <= b.h / 2 for b in ignored):
            continue
        elif any(_squared(d, b) <= radius**2 for b in decoys):
            outcomes.append((d, FALSE_ALARM_ON_INTERFERENCE))
        else:
            outcomes.append((d, FALSE_ALARM))
    return outcomes


def _squared(d: Detection, b: Box) -> float:
    return (d.x - b.x) ** 2 + (d.y - b.y) ** 2
