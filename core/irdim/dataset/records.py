"""What a data set is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from irdim.boxes import Box

SPLITS = ("train", "val", "test")
WRONG_LABELS = (UNLABELLED, MISPLACED, WRONG_CATEGORY, LABELLED_BACKGROUND) = (
    "unlabelled",
    "misplaced",
    "wrong-category",
    "labelled-background",
)  # of queue items that question the labels: the paper's four kinds
TRACK = "track"  # kind of an item that proposes a box on many frames: its provenance has `points`, [frame, x, y, w, h]
DECISIONS = ("accept", "reject", "target", "interference", "ignore", "background", "skip")


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
class Device:
    """A device whose field logs are taken. key: its public Ed25519 key, hex; who added it, and when (UTC)."""

    name: str
    key: str
    who: str
    at: str


@dataclass(frozen=True)
class LogRecord:
    """A field log or tally that was taken in. digest: the 16 hex digits of its name; manifest: SHA-256 of its description, None where it is
    not kept; kind: its suspect's, 'tally', or 'replay' of one that was there; device_key: who signed it; iteration: the one that it came in;
    at: when (UTC, the workstation's clock)."""

    digest: str
    name: str
    manifest: str | None
    kind: str | None
    device_key: str | None
    iteration: int | None
    provenance: Mapping[str, Any]
    at: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not taken in, why, and when it was last refused."""

    name: str
    reason: str
    at: str


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
