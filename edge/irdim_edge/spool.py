"""The spool: field logs and tallies on disk that wait to be uploaded.

Each file is written under a temporary name, synced and renamed, so a kill or a power cut leaves it whole or not there. Bounded in bytes, number
and age. What goes first is stated (`Entry.value`): suspects by score, then samples, then tallies, of equals the oldest; every eviction is on record
in `evicted.jsonl`, synced before the file goes. What is in the spool leaves it in three ways only: evicted, uploaded and verified, or, where it is
damaged, set aside into `damaged/`, whose oldest go on the same record.
"""

import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from irdim.errors import InputError
from irdim.fieldlog import SUFFIX, TALLY, kind_in, read_description
from irdim.files import atomic_file, make_folder, sync_folder
from irdim_edge.json_lines import JsonLines
from irdim_edge.locks import holding, take_lock
from irdim_edge.spool_index import Entry, Index

EVICTED, DAMAGED, UPLOADING, WRITING = "evicted.jsonl", "damaged", "upload.lock", "writer.lock"
NOT_TAKEN = "not taken"
MOST_DAMAGED = 0.05  # share of the spool's bytes that damaged files may take besides
OLDER = "evicted.1.jsonl"
MOST_RECORD = 0.025  # as much evicted.jsonl before it becomes OLDER, of which there is one
LEAST_RECORD = 1 << 20  # bytes that it may have however small the spool is: some 3,000 evictions
DAY = 86400.0
FORGET_EVERY = 3600.0  # seconds between two clearings of the index
CLOCK_SET = datetime(
    2025, 1, 1, tzinfo=timezone.utc
).timestamp()  # a device whose clock says less does not know the time


@dataclass(frozen=True)
class Bounds:
    """bytes, files: most of them in the spool; days: age from which a log goes, None for any."""

    bytes: int
    files: int
    days: float | None = None


@dataclass(frozen=True)
class Recovered:
    """What opening the spool found: waiting logs, half-written files that were removed, damaged ones that were moved aside."""

    waiting: int
    removed: int
    damaged: int


class Spool:
    """Thread-safe. One process adds; any may upload, one at a time."""

    def __init__(
        self, folder: Path, bounds: Bounds, *, adds: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        """Open a spool, made where it is not there, and recover it from a kill. adds: whether this process adds to it.

        Raises InputError where the folder cannot be written, or another process adds to it already.
        """
        self.folder, self.bounds = folder, bounds
        self.evicted: Counter[str] = Counter()  # by kind, since it was opened
        self._lock, self._clock = threading.RLock(), clock
        self._forgot = clock()
        try:
            make_folder(folder)
            self._writing = take_lock(folder / WRITING) if adds else None
            if adds and self._writing is None:
                raise InputError(f"{folder}: another irdim-edge run adds to this spool; stop it, or set another spool")
            self._index = Index(folder, writes=adds)
            self.recovered = self._recover(adds)
        except OSError as error:
            raise InputError(
                f"{folder}: the spool cannot be opened ({error.strerror}); choose another folder"
            ) from None

    def accept(self, name: str, data: bytes, kind: str, score: float) -> Path | None:
        """Take a file; None where it is less valuable than all that is there, and there is no room.

        It survives a power cut from when this returns. Raises OSError where the disk is full or broken; nothing is then half-written.
        """
        path, entry = self.folder / name, Entry(name, kind, score, len(data), self._clock())
        with self._lock:
            if path.exists():
                return path
            if not self._make_room(entry):
                return None
            with atomic_file(path) as file:
                file.write(data)
            self._index.note(entry)
        return path

    def expire(self) -> None:
        """Evict what is too old, and forget what no budget counts any more. Raises OSError where that cannot be put on record; nothing goes then."""
        with self._lock:
            self._without_old(self.entries())
            if self._clock() - self._forgot >= FORGET_EVERY:
                self._forgot = self._clock()
                self._index.forget_before(self._clock() - DAY, {entry.name for entry in self.entries()})

    def entries(self) -> list[Entry]:
        """What waits, most valuable first."""
        with self._lock:
            found = (self._index.known.get(name) or self._learn(name) for name in self._names())
            return sorted((e for e in found if e is not None), key=lambda e: e.value, reverse=True)

    def path(self, entry: Entry) -> Path:
        return self.folder / entry.name

    def remove(self, entry: Entry) -> None:
        """Its copy was verified at the destination: it goes here."""
        with self._lock:
            self.path(entry).unlink(missing_ok=True)
            sync_folder(self.folder)

    def set_aside(self, name: str) -> None:
        """Move a damaged file into `damaged/`, out of the uploader's way. The oldest there go once they are too many."""
        with self._lock:
            (self.folder / DAMAGED).mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (self.folder / name).replace(self.folder / DAMAGED / name)
            there = sorted((self.folder / DAMAGED).iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
            size = 0
            for path in there:
                size += path.stat().st_size
                if size > MOST_DAMAGED * self.bounds.bytes:
                    self._record([Entry(path.name, DAMAGED, 0.0, path.stat().st_size, 0.0)], "damaged")
                    path.unlink()

    def taken_since(self, oldest: float) -> list[Entry]:
        """What was accepted since a time, whether it still waits or not; oldest first."""
        with self._lock:
            return sorted((e for e in self._index.known.values() if e.taken >= oldest), key=lambda e: e.taken)

    def uploading(self) -> contextlib.AbstractContextManager[bool]:
        """Whether this process is the one that uploads now."""
        return holding(self.folder / UPLOADING)

    def close(self) -> None:
        """Let another process add."""
        with self._lock:
            self._index.close()
            if self._writing is not None:
                self._writing.close()

    def _names(self) -> list[str]:
        with os.scandir(self.folder) as found:
            return [e.name for e in found if e.name.endswith(SUFFIX) and not e.name.startswith(".")]

    def _recover(self, adds: bool) -> Recovered:
        """Only what nobody is writing just now is removed: that is known by holding the writer's lock."""
        removed = 0
        with contextlib.nullcontext(True) if adds else holding(self.folder / WRITING, 0) as alone:
            if alone:
                for path in self.folder.glob(".*.tmp"):
                    path.unlink(missing_ok=True)
                    removed += 1
        there = self._names()
        for name in there:  # a file of another size than the index says is looked into again
            with contextlib.suppress(FileNotFoundError):
                known = self._index.known.get(name)
                if known and known.bytes != (self.folder / name).stat().st_size:
                    del self._index.known[name]
        waiting = {e.name for e in self.entries()}
        if adds:
            self._index.forget_before(self._clock() - DAY, waiting)
        return Recovered(len(waiting), removed, len(there) - len(waiting))

    def _learn(self, name: str) -> Entry | None:
        """Read what the index lacks from the file itself; a damaged one is set aside."""
        path = self.folder / name
        try:
            kind, score = _kind_and_score(path)
            stat = path.stat()
        except InputError:
            if path.exists():
                self.set_aside(name)
            return None
        except FileNotFoundError:  # another process has just uploaded it
            return None
        entry = Entry(name, kind, score, stat.st_size, stat.st_mtime)
        self._index.note(entry)
        return entry

    def _make_room(self, new: Entry) -> bool:
        """Evict what is too old, then until `new` fits; False where `new` itself is the least valuable, or larger than the spool."""
        waiting = self._without_old(self.entries())
        size, leaving = sum(e.bytes for e in waiting) + new.bytes, []
        while size > self.bounds.bytes or len(waiting) + 1 > self.bounds.files:
            if not waiting or new.bytes > self.bounds.bytes or waiting[-1].value > new.value:
                if new.kind != TALLY:  # whose run keeps it and tries again
                    self._record([new], NOT_TAKEN)
                return False
            leaving.append(waiting.pop())
            size -= leaving[-1].bytes
        self._evict(leaving, "room")
        return True

    def _without_old(self, waiting: list[Entry]) -> list[Entry]:
        if self.bounds.days is None:
            return waiting
        oldest = self._clock() - self.bounds.days * DAY
        old = [e for e in waiting if CLOCK_SET <= _time(e.name) < oldest]
        self._evict(old, "age")
        gone = {e.name for e in old}
        return [e for e in waiting if e.name not in gone]

    def _evict(self, leaving: list[Entry], why: str) -> None:
        if leaving:
            self._record(leaving, why)
            for entry in leaving:
                self.path(entry).unlink(missing_ok=True)

    def _record(self, leaving: list[Entry], why: str) -> None:
        path = self.folder / EVICTED
        if path.is_file() and path.stat().st_size > max(MOST_RECORD * self.bounds.bytes, LEAST_RECORD):
            path.replace(path.with_name(OLDER))
        begins = not path.exists() and path.with_name(OLDER).exists()
        lines = JsonLines(path)
        try:
            if begins:
                lines.write({"v": 1, "before": recorded(path.with_name(OLDER))})
            at = datetime.fromtimestamp(self._clock(), timezone.utc).isoformat(timespec="seconds")
            for e in leaving:
                lines.write({**e.to_json(), "at": at, "why": why})
        finally:
            lines.close()
        if why != NOT_TAKEN:  # it was never in
            self.evicted.update(e.kind for e in leaving)


def recorded(path: Path) -> int:
    """Evictions on record up to the end of a file: its own, and those before it, which its first line counts."""
    with path.open("rb") as file:
        first = file.readline()
        own = sum(line.endswith(b"\n") for line in file)
    try:
        before = json.loads(first).get("before")
    except (ValueError, AttributeError):
        before = None
    return own + (int(first.endswith(b"\n")) if before is None else int(before))


def _kind_and_score(path: Path) -> tuple[str, float]:
    description = read_description(path)
    if kind_in(path.name) == TALLY:
        return TALLY, 0.0
    return str(description["verdict"]["kind"]), float(description["verdict"]["score"])


def _time(name: str) -> float:
    """UTC seconds in a log's name, by the device's clock; 0 where it says none."""
    try:
        return datetime.strptime(f"{name[:18]}000+0000", "%Y%m%dT%H%M%S%f%z").timestamp()
    except ValueError:
        return 0.0
