"""JSON lines that a kill or a power cut at any byte leaves readable: one write a line, a torn tail cut before going on."""

import json
import os
from pathlib import Path
from typing import Any

from irdim.files import sync_folder

_BLOCK = 1 << 16


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
        """Append one object, whole or not at all. Raises OSError where the disk is full or broken, ValueError where it holds NaN or infinity."""
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
