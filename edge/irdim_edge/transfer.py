"""One file to one place, verified there; and how fast and when files may travel."""

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from irdim.errors import InputError
from irdim.files import make_folder, sync_folder
from irdim.remote import remote_digest

BLOCK = 1 << 16


class Stopped(Exception):
    """The transfer was told to stop; what was being sent stays where it is."""


class Pace:
    """A bandwidth cap: keeps the mean rate since it was last idle."""

    def __init__(self, bytes_per_second: float | None, stopping: threading.Event) -> None:
        """None: no cap, but still an end once `stopping` is set."""
        self._rate, self._stopping = bytes_per_second, stopping
        self._free = 0.0  # when what was taken so far has had its time

    def __call__(self, size: int) -> None:
        """Take `size` bytes, and wait until they are due. Raises Stopped once stopping is set."""
        if self._rate:
            now = time.monotonic()
            self._free = max(self._free, now) + size / self._rate
            self._stopping.wait(self._free - now)
        if self._stopping.is_set():
            raise Stopped


@dataclass(frozen=True)
class Hours:
    """Spans of the day, device's local time, in minutes from midnight; none: always. A span may go past midnight."""

    spans: tuple[tuple[int, int], ...] = field(default=())

    @classmethod
    def parse(cls, texts: list[str]) -> "Hours":
        """From texts such as '22:00-06:00'. Raises InputError."""
        spans = []
        for text in texts:
            found = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", text)
            numbers = [int(n) for n in found.groups()] if found else [99]
            if not found or max(numbers[::2]) > 24 or max(numbers[1::2]) > 59:
                raise InputError(f"hours {text!r}: write spans such as 22:00-06:00")
            spans.append((numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]))
        return cls(tuple(spans))

    def allow(self, now: datetime) -> bool:
        minute = now.hour * 60 + now.minute
        return not self.spans or any(
            begin <= minute < end if begin <= end else minute >= begin or minute < end for begin, end in self.spans
        )

    def __str__(self) -> str:
        return ", ".join(f"{b // 60:02}:{b % 60:02}-{e // 60:02}:{e % 60:02}" for b, e in self.spans) or "always"


def put(
    fs: Any, folder: str, name: str, data: bytes, digest: str, pace: Callable[[int], None] = lambda size: None
) -> bool:
    """Bring `data` to folder/name and verify it there, by size and SHA-256; False where it was there already.

    It is put as .NAME.part, read back, and renamed. Raises OSError where the copy is not right; pace may raise Stopped.
    """
    final, part = f"{folder.rstrip('/')}/{name}", f"{folder.rstrip('/')}/.{name}.part"
    fs.invalidate_cache()
    with contextlib.suppress(FileNotFoundError):
        if fs.size(final) == len(data) and remote_digest(fs, final, pace) == (len(data), digest):
            if fs.exists(part):  # a try that broke off after the copy
                fs.rm_file(part)
            return False
    _make_folder(fs, folder)
    with fs.open(part, "wb") as file:
        for at in range(0, len(data), BLOCK):
            pace(len(data[at : at + BLOCK]))
            file.write(data[at : at + BLOCK])
    if remote_digest(fs, part, pace) != (len(data), digest):
        with contextlib.suppress(Exception):
            fs.rm_file(part)
        raise OSError(f"{name}: the copy at the destination differs from what was sent")
    _sync_local(fs, part)
    _rename(fs, part, final)
    _sync_local(fs, folder)
    fs.invalidate_cache()
    if fs.size(final) != len(data):
        raise OSError(f"{name}: not there after the rename")
    return True


def _is_local(fs: Any) -> bool:
    return fs.protocol in ("file", ("file", "local"))


def _make_folder(fs: Any, folder: str) -> None:
    if _is_local(fs):
        make_folder(Path(folder))
    else:
        fs.makedirs(folder, exist_ok=True)


def _rename(fs: Any, part: str, final: str) -> None:
    if _is_local(fs):
        Path(part).replace(final)
    else:
        fs.mv(part, final)


def _sync_local(fs: Any, path: str) -> None:
    """On this machine's disk a copy counts once it survives a power cut; a server sees to that itself."""
    if not _is_local(fs):
        return
    if Path(path).is_dir():
        sync_folder(Path(path))
        return
    with Path(path).open("rb") as file:
        os.fsync(file.fileno())
