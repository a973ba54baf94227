"""What a data set is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from irdim.boxes import Box

SPLITS = ("train", "val", "test")
KINDS = (
    "missed",
    "false_alarm",
)  # of queue items that the tracker's verdicts make; other kinds propose a box as it stands
DECISIONS = ("accept", "reject", "target", "interference", "ignore", "skip")


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence. `group`: its scene; `interval`: seconds or None; `digest`: of its pixels and shape."""

    id: int
    name: str
    split: str
    group: str
    length: int
    height: int
    width: int
    dtype: str
    interval: float | None
    source: str
    digest: str
    iteration: int = 0


@dataclass(frozen=True, slots=True)
class LabelledBox(Box):
    """A box of the data set, and its row."""

    id: int = 0


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A proposal for a person to decide. `box`: where; `box_id`: the label that it puts in question, if any."""

    id: int
    key: str
    kind: str
    sequence_id: int
    frame: int
    box: Box
    score: float
    reason: str
    box_id: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    state: str = "open"
    decision: str | None = None
