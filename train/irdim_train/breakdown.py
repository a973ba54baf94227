"""Pd by what the targets are like: for each property a few ranges, the share found in each, and how far that can be trusted."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from irdim.dataset import Dataset
from irdim.metrics import Interval, ratio_interval
from irdim_train.evaluate import Evaluation
from irdim_train.target_properties import measure_targets


@dataclass(frozen=True)
class Property:
    """title: for a person, with the unit; edges: where one range ends and the next begins, the same for every data set; beyond: what infinity means."""

    title: str
    edges: tuple[float, ...]
    beyond: str = ""


PROPERTIES: Mapping[str, Property] = {
    "scr": Property("Local signal-to-clutter ratio", (1, 2, 3, 4, 6, 9)),
    "size": Property("Size: square root of the box's area, px", (2, 3, 5, 7, 9, 12, 16)),
    "speed": Property("Speed against the background, px a frame", (0.25, 0.5, 1, 2)),
    "border": Property("Distance to the frame's border, px", (4, 8, 16, 32, 64)),
    "separation": Property("Distance to the nearest other target, px", (4, 8, 16, 32), beyond="alone"),
}


@dataclass(frozen=True)
class Range:
    """The targets of one range of a property. low, high: its ends, None where it has none (or nothing was measured)."""

    name: str
    low: float | None
    high: float | None
    targets: int
    found: int
    interval: Interval

    @property
    def recall(self) -> float:
        """Pd within the range."""
        return self.found / max(self.targets, 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "range": self.name,
            "low": self.low,
            "high": self.high,
            "targets": self.targets,
            "found": self.found,
            "recall": round(self.recall, 6),
            "interval": self.interval.to_json(),
        }


def break_down(result: Evaluation, data: Dataset, threshold: float, seed: int = 0) -> dict[str, list[Range]]:
    """For each of PROPERTIES its ranges that hold targets. threshold: from which a detection is reported."""
    measured = [measure_targets(found, data) for found in result.found.values()]
    counts = [m["scr"].size for m in measured]
    sequence = np.repeat(np.arange(len(measured)), counts)
    found = np.concatenate([metric.found_at() for metric in result.per_sequence.values()]) >= threshold
    return {
        name: split_up(one, np.concatenate([m[name] for m in measured]), found, sequence, seed)
        for name, one in PROPERTIES.items()
    }


def split_up(one: Property, values: np.ndarray, found: np.ndarray, sequence: np.ndarray, seed: int = 0) -> list[Range]:
    """Ranges of one property. values (n,): of each target, NaN where it was not measured; found (n,) bool; sequence (n,): number of each target's."""
    edges = (-np.inf, *one.edges, np.inf)
    ranges = [
        (_name(low, high), low, high, (values >= low) & (values < high)) for low, high in itertools.pairwise(edges)
    ]
    ranges.append((one.beyond, np.inf, np.inf, np.isinf(values)))
    ranges.append(("not known", np.inf, np.inf, np.isnan(values)))
    total = int(sequence.max()) + 1 if sequence.size else 0
    return [
        Range(
            name,
            float(low) if np.isfinite(low) else None,
            float(high) if np.isfinite(high) else None,
            int(inside.sum()),
            int((inside & found).sum()),
            ratio_interval(
                np.bincount(sequence[inside & found], minlength=total),
                np.bincount(sequence[inside], minlength=total),
                seed,
            ),
        )
        for name, low, high, inside in ranges
        if inside.any()
    ]


def _name(low: float, high: float) -> str:
    if np.isinf(low):
        return f"under {high:g}"
    return f"{low:g} and more" if np.isinf(high) else f"{low:g} to {high:g}"
