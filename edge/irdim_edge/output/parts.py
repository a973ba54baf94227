"""What a run writes, in numbered parts whose size and number are bounded."""

import contextlib
import threading
from pathlib import Path
from typing import Any

from irdim_edge.json_lines import JsonLines, cut_torn_tail

DETECTIONS, VERDICTS = "detections", "verdicts"  # names of what the daemon writes
PARTS = 8  # a part takes at most this fraction of the room for all


class Parts:
    """Files NAME-NNNN.jsonl, one of each name, that share a number. A run begins a new number, and so does a file that grows too large; then the
    oldest numbers go if all together are too large, and so do those that nothing was written to. Thread-safe."""

    def __init__(self, folder: Path, *names: str, most_bytes: int) -> None:
        """most_bytes: of all parts together. Torn tails that a kill left are cut."""
        self._folder, self._names, self._most = folder, names, most_bytes
        self._lock = threading.Lock()
        self._lines: dict[str, JsonLines] = {}
        there = self._there()
        self.first = max(there, default=0) + 1  # number that this run begins with
        for path in there.get(max(there, default=0), []):
            cut_torn_tail(path)
        self._begin(self.first)

    def path(self, name: str) -> Path:
        """The file of that name that is written now."""
        return self._lines[name].path

    def write(self, name: str, value: dict[str, Any]) -> None:
        """As JsonLines.write; where the parts have grown too large, a new number is begun first, and the oldest go."""
        with self._lock:
            if sum(lines.size for lines in self._lines.values()) > self._most // PARTS:
                with contextlib.suppress(OSError):  # then the part grows until another can be begun
                    self._begin(self._number + 1)
            self._lines[name].write(value)

    def sync(self) -> None:
        """Bring what was written to the disk."""
        with self._lock:
            for lines in self._lines.values():
                lines.sync()

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        for lines in self._lines.values():
            lines.close()

    def _begin(self, number: int) -> None:
        begun: dict[str, JsonLines] = {}
        try:
            for name in self._names:
                begun[name] = JsonLines(self._folder / f"{name}-{number:04d}.jsonl")
        except OSError:
            for lines in begun.values():
                lines.close()
                lines.path.unlink(missing_ok=True)
            raise
        self._close()
        self._number, self._lines = number, begun
        size = 0
        for other, paths in sorted(self._there().items(), reverse=True):
            own = sum(path.stat().st_size for path in paths)
            size += own
            if other != number and (not own or size > self._most - self._most // PARTS):
                for path in paths:
                    path.unlink()

    def _there(self) -> dict[int, list[Path]]:
        return parts_in(self._folder, *self._names)


def parts_in(folder: Path, *names: str) -> dict[int, list[Path]]:
    """The files of an output folder that have one of these names, by their number."""
    found: dict[int, list[Path]] = {}
    for path in folder.glob("*-*.jsonl"):
        name, _, number = path.stem.rpartition("-")
        if name in names and number.isdecimal():
            found.setdefault(int(number), []).append(path)
    return found
