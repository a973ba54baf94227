"""JSON lines that a kill or a power cut at any byte leaves readable: one write a line, a torn tail cut before going on."""

import json
import os
import threading
from pathlib import Path
from typing import Any

from irdim.files import sync_folder

_BLOCK = 1 << 16
PARTS = 8  # a part takes at most this fraction of the room for all


class JsonLines:
    """A file of JSON objects, one a line, appended to."""

    def __init__(self, path: Path) -> None:
        """Open for appending; a last line that a kill left half-written is cut first (`cut`: its bytes)."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.cut = cut_torn_tail(path)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        sync_folder(path.parent)

    def write(self, value: dict[str, Any]) -> None:
        """Append one object, whole or, where the disk is full, not at all (OSError)."""
        data = json.dumps(value, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        size = os.fstat(self._fd).st_size
        try:
            while data:  # a full disk may take a part
                data = data[os.write(self._fd, data) :]
        except OSError:
            os.ftruncate(self._fd, size)
            raise

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._fd).st_size

    def sync(self) -> None:
        """Bring what was written to the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1


def cut_torn_tail(path: Path) -> int:
    """Cut what follows the last whole line that is JSON; returns the number of bytes cut, 0 where the file is whole or not there."""
    if not path.is_file():
        return 0
    with path.open("rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            start = _line_start(file, end)
            file.seek(start)
            if _whole(file.read(end - start)):
                break
            end = start
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
    return size - end


class Parts:
    """Files NAME-NNNN.jsonl, one of each name, that share a number. A run begins a new number, and so does a file that grows too large; the
    oldest numbers go once all together are too large. Thread-safe."""

    def __init__(self, folder: Path, *names: str, most_bytes: int) -> None:
        """most_bytes: of all parts together. Torn tails that a kill left are cut."""
        self._folder, self._names, self._most = folder, names, most_bytes
        self._lock = threading.Lock()
        there = self._there()
        for path in there.get(max(there, default=0), []):
            cut_torn_tail(path)
        self._begin(max(there, default=0) + 1)

    def path(self, name: str) -> Path:
        """The file of that name that is written now."""
        return self._lines[name].path

    def write(self, name: str, value: dict[str, Any]) -> None:
        """As JsonLines.write."""
        with self._lock:
            if sum(lines.size for lines in self._lines.values()) > self._most // PARTS:
                self._close()
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
        self._number = number
        self._lines = {name: JsonLines(self._folder / f"{name}-{number:04d}.jsonl") for name in self._names}
        size = 0
        for other, paths in sorted(self._there().items(), reverse=True):
            size += sum(path.stat().st_size for path in paths)
            if size > self._most - self._most // PARTS and other != number:
                for path in paths:
                    path.unlink()

    def _there(self) -> dict[int, list[Path]]:
        """Parts by their number."""
        found: dict[int, list[Path]] = {}
        for path in self._folder.glob("*-*.jsonl"):
            name, _, number = path.stem.rpartition("-")
            if name in self._names and number.isdecimal():
                found.setdefault(int(number), []).append(path)
        return found


def _line_start(file: Any, end: int) -> int:
    """Where the line that ends at `end` (its newline included) begins."""
    at = end - 1  # the newline itself, or the last byte of a torn line
    while at > 0:
        low = max(0, at - _BLOCK)
        file.seek(low)
        found = file.read(at - low).rfind(b"\n")
        if found >= 0:
            return int(low + found + 1)
        at = low
    return 0


def _whole(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
