"""What is known of each file of the spool without opening it. The index is a cache: what it lacks, or has wrong, is learnt from the file."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from irdim.fieldlog import SAMPLE, TALLY
from irdim.files import atomic_file
from irdim_edge.json_lines import JsonLines

INDEX = "index.jsonl"
_RANK = {
    SAMPLE: 1,
    TALLY: 2,
}  # above every suspect: rates rest on them, and to lose those of a busy day would bias them


@dataclass(frozen=True)
class Entry:
    """A file in the spool. kind: of its suspect, or 'tally'; score: 0 to 1; taken: when it was accepted, UTC seconds."""

    name: str
    kind: str
    score: float
    bytes: int
    taken: float

    @property
    def value(self) -> tuple[int, float, str]:
        """By class (suspects, samples, tallies), then score, then name, which begins with the time. The lowest is evicted first, sent last."""
        return _RANK.get(self.kind, 0), 0.0 if self.kind in _RANK else self.score, self.name

    def to_json(self) -> dict[str, Any]:
        at = datetime.fromtimestamp(self.taken, timezone.utc).isoformat(timespec="milliseconds")
        return {"v": 1, "at": at, "name": self.name, "kind": self.kind, "score": self.score, "bytes": self.bytes}


class Index:
    """Entries by name, on disk as JSON lines; the newest line of a name counts."""

    def __init__(self, folder: Path, *, writes: bool) -> None:
        """writes: whether this process keeps the file; others only read it."""
        self.path = folder / INDEX
        self.known = {entry.name: entry for entry in _read(self.path)}
        self._writes = writes
        self._lines: JsonLines | None = None

    def note(self, entry: Entry) -> None:
        """Remember an entry. A disk that is full costs no more than a look into the file later."""
        self.known[entry.name] = entry
        if self._writes:
            with contextlib.suppress(OSError):
                self._lines = self._lines or JsonLines(self.path)
                self._lines.write(entry.to_json())

    def forget_before(self, oldest: float, there: set[str]) -> None:
        """Rewrite the file without what is neither in the spool nor was taken since `oldest`."""
        self.known = {n: e for n, e in self.known.items() if n in there or e.taken >= oldest}
        if self._writes:
            self.close()
            with contextlib.suppress(OSError), atomic_file(self.path, "w") as file:
                file.writelines(json.dumps(entry.to_json()) + "\n" for entry in self.known.values())

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None


def _read(path: Path) -> Iterator[Entry]:
    """The lines that can be read; a power cut may have left anything."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        while line := file.readline(1 << 16):
            with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
                value = json.loads(line)
                taken = datetime.fromisoformat(value["at"]).timestamp()
                entry = Entry(value["name"], value["kind"], float(value["score"]), int(value["bytes"]), taken)
                if os.path.basename(entry.name) == entry.name and math.isfinite(entry.score):  # noqa: PTH119
                    yield entry
