"""The spool: field logs on disk that wait to be uploaded.

A folder of `.irlog` files. Each is written under a temporary name, synced and renamed, so a kill or a power cut leaves it whole or not there.
Bounded in bytes and in number: the least valuable goes first (lowest score; of equals the oldest), and every eviction is on record in
`evicted.jsonl`, written before the file goes. What is in the spool goes in two ways only: evicted, or uploaded and verified.
"""

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from irdim.errors import InputError
from irdim.fieldlog import SUFFIX, Suspect, pack_log, read_description
from irdim.files import atomic_file, sync_folder
from irdim_edge.outputs import JsonLines

EVICTED, DAMAGED, LOCK = "evicted.jsonl", "damaged", "upload.lock"
MOST_RECORD = 8 << 20  # bytes of evicted.jsonl before it becomes evicted.1.jsonl


@dataclass(frozen=True)
class Entry:
    """A field log in the spool."""

    path: Path
    kind: str
    score: float
    bytes: int


@dataclass(frozen=True)
class Recovered:
    """What opening the spool found: waiting logs, half-written files that were removed, damaged ones that were moved aside."""

    waiting: int
    removed: int
    damaged: int


class Spool:
    """Thread-safe; one process adds, any may upload."""

    def __init__(self, folder: Path, *, max_bytes: int, max_files: int, adds: bool = True) -> None:
        """Open a spool, made where it is not there, and recover it from a kill. adds: whether this process adds to it; only that one may
        remove half-written files, which another may be writing just now."""
        self.folder, self.max_bytes, self.max_files = folder, max_bytes, max_files
        self._lock = threading.RLock()
        self._known: dict[str, tuple[str, float]] = {}
        self.evicted = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.recovered = self._recover(adds)
        except OSError as error:
            raise InputError(
                f"{folder}: the spool cannot be opened ({error.strerror}); choose another folder"
            ) from None

    def add(self, suspect: Suspect) -> Path | None:
        """Take a suspect's field log; None where it is less valuable than all that is there, and there is no room.

        Raises OSError where the disk is full or broken; nothing is then half-written.
        """
        name, data = pack_log(suspect)
        path = self.folder / name
        entry = Entry(path, str(suspect.verdict["kind"]), float(suspect.verdict["score"]), len(data))
        with self._lock:
            if path.exists():
                return path
            if not self._make_room(entry):
                return None
            with atomic_file(path) as file:
                file.write(data)
            self._known[name] = (entry.kind, entry.score)
        return path

    def entries(self) -> list[Entry]:
        """What waits, most valuable first."""
        with self._lock:
            found = []
            for path in self.folder.glob(f"*{SUFFIX}"):
                with contextlib.suppress(FileNotFoundError):  # another process has just uploaded it
                    size = path.stat().st_size
                    if path.name not in self._known and not self._learn(path):
                        continue
                    found.append(Entry(path, *self._known[path.name], size))
            self._known = {e.path.name: (e.kind, e.score) for e in found}
        return sorted(found, key=_value, reverse=True)

    def remove(self, entry: Entry) -> None:
        """Its copy was verified at the destination: it goes here."""
        with self._lock:
            entry.path.unlink(missing_ok=True)
            sync_folder(self.folder)

    def set_aside(self, path: Path) -> None:
        """Move a damaged file into `damaged/`, out of the uploader's way."""
        (self.folder / DAMAGED).mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.replace(self.folder / DAMAGED / path.name)

    @contextlib.contextmanager
    def uploading(self) -> Iterator[bool]:
        """Whether this process is the one that uploads now; only one at a time does."""
        with (self.folder / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _recover(self, adds: bool) -> Recovered:
        temporary = list(self.folder.glob(".*.tmp")) if adds else []
        for path in temporary:
            path.unlink(missing_ok=True)
        there = list(self.folder.glob(f"*{SUFFIX}"))
        waiting = len(self.entries())
        return Recovered(waiting, len(temporary), len(there) - waiting)

    def _learn(self, path: Path) -> bool:
        """Read kind and score of a log that another process, or an earlier run, put here."""
        try:
            verdict = read_description(path)["verdict"]
        except InputError:
            if path.exists():
                self.set_aside(path)
            return False
        self._known[path.name] = (verdict["kind"], float(verdict["score"]))
        return True

    def _make_room(self, new: Entry) -> bool:
        """Evict until `new` fits; False where `new` itself is the least valuable, or larger than the spool."""
        waiting = self.entries()
        size = sum(e.bytes for e in waiting) + new.bytes
        leaving: list[Entry] = []
        while size > self.max_bytes or len(waiting) + 1 > self.max_files:
            if not waiting or new.bytes > self.max_bytes or _value(waiting[-1]) > _value(new):
                self._record([new])
                return False
            leaving.append(waiting.pop())
            size -= leaving[-1].bytes
        if leaving:
            self._record(leaving)
            for entry in leaving:
                entry.path.unlink(missing_ok=True)
        return True

    def _record(self, leaving: list[Entry]) -> None:
        path = self.folder / EVICTED
        if path.is_file() and path.stat().st_size > MOST_RECORD:
            path.replace(path.with_name("evicted.1.jsonl"))
        lines = JsonLines(path)
        try:
            at = datetime.now(timezone.utc).isoformat(timespec="seconds")
            for e in leaving:
                lines.write({"v": 1, "at": at, "name": e.path.name, "kind": e.kind, "score": e.score, "bytes": e.bytes})
        finally:
            lines.close()
        self.evicted += len(leaving)


def _value(entry: Entry) -> tuple[float, str]:
    """By score, then by name, which begins with the time."""
    return entry.score, entry.path.name
