"""What a check has found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from irdim.boxes import Box


class Severity(str, Enum):
    """harmful: training on it, or measuring with it, goes wrong; look: probably a mistake; note: worth knowing."""

    HARMFUL = "harmful"
    LOOK = "look"
    NOTE = "note"


KINDS = {  # what is looked for, and how bad it is
    "unreadable": Severity.HARMFUL,
    "changed": Severity.HARMFUL,
    "time": Severity.LOOK,
    "frozen": Severity.LOOK,
    "duplicate": Severity.LOOK,
    "shared frames": Severity.HARMFUL,
    "shared scene": Severity.HARMFUL,
    "similar scene": Severity.LOOK,
    "mixed": Severity.NOTE,
    "splits": Severity.LOOK,
    "labels": Severity.LOOK,
    "outside": Severity.HARMFUL,
    "doubled": Severity.LOOK,
    "large box": Severity.LOOK,
    "large target": Severity.LOOK,
    "jump": Severity.HARMFUL,
    "offset": Severity.HARMFUL,
}


@dataclass(frozen=True)
class Finding:
    """kind: one of KINDS; text: what, where, what to do; picture: (H, W) pixels around `box`, which is in the picture's coordinates."""

    kind: str
    text: str
    sequence: str = ""
    frame: int | None = None
    picture: np.ndarray | None = None
    box: Box | None = None

    @property
    def severity(self) -> Severity:
        return KINDS[self.kind]

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity.value,
            "sequence": self.sequence,
            "frame": self.frame,
            "text": self.text,
        }


def first_of_each(findings: Sequence[Finding], most: int) -> list[Finding]:
    """At most so many: the first of each kind, then the second, and so on; in the order in which they came, so that many of one kind hide no other."""
    nth: Counter[str] = Counter()
    turns = []
    for at, finding in enumerate(findings):
        turns.append((nth[finding.kind], at))
        nth[finding.kind] += 1
    return [findings[at] for at in sorted(at for _, at in sorted(turns)[:most])]


CUT = 32  # px; half the side of a picture


def cut_around(frame: np.ndarray, box: Box) -> tuple[np.ndarray, Box]:
    """A piece (at most 64 x 64) of a frame around a box, copied, and the box in it."""
    top = int(np.clip(box.y - CUT, 0, max(frame.shape[0] - 2 * CUT, 0)))
    left = int(np.clip(box.x - CUT, 0, max(frame.shape[1] - 2 * CUT, 0)))
    return frame[top : top + 2 * CUT, left : left + 2 * CUT].copy(), Box(
        box.x - left, box.y - top, box.w, box.h, box.label
    )
