"""What a disk may hold after a power cut: records a run's writes, syncs and renames, and rebuilds the states that a file system may legally leave.

Recorded, in a process of its own (`python crash_states.py ROOT`, whose workload is below), by Python's audit events and by standing before os.fsync: what was
created, renamed, unlinked, synced, and what every file held at each of these moments. Rebuilt, at each of these moments, by POSIX's weakest promises:

- A file that was not synced since it was written holds what it held when it last was (nothing, if never), or the new content, or the first half of
  it, or zeros of its length.
- An entry of a folder that was made, renamed or removed since the folder was last synced is as before or as after, each on its own, in any order; a
  rename that is half done shows both names.
"""

import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

EVENTS = "os.rename", "os.remove", "os.mkdir"


class Recorder:
    """Events: [what, ...]. Files are known by a number of their own, since a file system uses inodes again."""

    def __init__(self, root: Path) -> None:
        self.root, self.events = root, []
        self._names: dict[str, int] = {}
        self._inodes: dict[int, int] = {}
        self._content: dict[int, bytes] = {}
        self._last, self._busy = 0, False
        self._fsync = os.fsync
        os.fsync = self._synced
        sys.addaudithook(self._audited)

    def mark(self, what: str, name: str) -> None:
        """The workload says that something is now certain."""
        self._look()
        self.events.append([what, name])

    def _synced(self, fd: int) -> None:
        self._look()
        self._fsync(fd)
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path.is_relative_to(self.root):
            inode = os.fstat(fd).st_ino
            self.events.append(["sync", str(path.relative_to(self.root)), self._inodes.get(inode)])

    def _audited(self, event: str, arguments: tuple) -> None:
        if self._busy or event not in EVENTS:
            return
        paths = [Path(os.fsdecode(a)) for a in arguments[: 2 if event == "os.rename" else 1]]
        if not paths[0].is_relative_to(self.root) or paths[0].exists() == (event == "os.mkdir"):
            return  # elsewhere, or it will fail
        if not paths[-1].parent.exists():
            return
        self._look()
        names = [str(p.relative_to(self.root)) for p in paths]
        if event == "os.mkdir":
            self.events.append(["mkdir", names[0]])
        elif event == "os.remove":
            self.events.append(["unlink", names[0]])
            self._forget(self._names.pop(names[0]))
        else:
            number = self._names.pop(names[0])
            if (replaced := self._names.get(names[1])) is not None:
                self._forget(replaced)
            self._names[names[1]] = number
            self.events.append(["rename", *names, number])

    def _forget(self, number: int) -> None:
        self._inodes = {inode: n for inode, n in self._inodes.items() if n != number}

    def _look(self) -> None:
        """Note what was created and written since the last look."""
        self._busy = True
        there = {str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file()}
        assert there >= set(self._names), f"went unseen: {set(self._names) - there}"
        for name in sorted(there):
            path = self.root / name
            if name not in self._names:
                self._last += 1
                self._names[name] = self._inodes[path.stat().st_ino] = self._last
                self.events.append(["create", name, self._last])
            number, content = self._names[name], path.read_bytes()
            if content != self._content.get(number, b""):
                self._content[number] = content
                self.events.append(["write", number, content.hex()])
        self._busy = False


@dataclass
class Disk:
    """What is certain, and what is pending, after some of a run's events."""

    durable: dict[str, int | None] = field(default_factory=dict)  # entry -> file, None for a folder
    pending: list[tuple[str, str, int | None]] = field(
        default_factory=list
    )  # ('set' or 'drop', entry, file), oldest first
    synced: dict[int, bytes] = field(default_factory=dict)
    written: dict[int, bytes] = field(default_factory=dict)
    marks: dict[str, set[str]] = field(default_factory=dict)

    def apply(self, event: list) -> None:
        what, *words = event
        if what == "create":
            self.pending.append(("set", words[0], words[1]))
            self.written[words[1]] = b""
        elif what == "write":
            self.written[words[0]] = bytes.fromhex(words[1])
        elif what == "mkdir":
            self.pending.append(("set", words[0], None))
        elif what == "unlink":
            self.pending.append(("drop", words[0], None))
        elif what == "rename":
            self.pending += [("set", words[1], words[2]), ("drop", words[0], None)]
        elif what == "sync" and words[1] is not None:
            self.synced[words[1]] = self.written[words[1]]
        elif what == "sync":
            inside = [op for op in self.pending if str(Path(op[1]).parent) == words[0]]
            self.durable = _entries(self.durable, inside)
            self.pending = [op for op in self.pending if op not in inside]
        else:
            self.marks.setdefault(what, set()).add(words[0])

    def states(self, draw: random.Random) -> Iterator[dict[str, bytes | None]]:
        """Entries that may be found after a power cut now: path -> content, None for a folder."""
        n = len(self.pending)
        choices = {frozenset(range(i)) for i in range(n + 1)} | {frozenset(range(n)) - {i} for i in range(n)}
        choices |= {frozenset(i for i in range(n) if draw.random() < 0.5) for _ in range(3)}
        for chosen in sorted(choices, key=sorted):
            entries = _entries(self.durable, [op for i, op in enumerate(self.pending) if i in chosen])
            entries = {p: f for p, f in entries.items() if _reached(p, entries)}
            for content in (_old, _new, _half, _zeros, lambda *both: draw.choice((_old, _new, _half, _zeros))(*both)):
                yield {
                    p: None if f is None else content(self.synced.get(f, b""), self.written[f])
                    for p, f in entries.items()
                }


def build(state: dict[str, bytes | None], root: Path) -> None:
    """Put a state onto a disk."""
    root.mkdir()
    for path, content in sorted(state.items()):
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)


def _entries(before: dict[str, int | None], operations: list[tuple[str, str, int | None]]) -> dict[str, int | None]:
    entries = dict(before)
    for what, entry, number in operations:
        if what == "set":
            entries[entry] = number
        else:
            entries.pop(entry, None)
    return entries


def _reached(path: str, entries: dict[str, int | None]) -> bool:
    """Whether the folders above are there."""
    above = str(Path(path).parent)
    return above == "." or (above in entries and _reached(above, entries))


def _old(synced: bytes, written: bytes) -> bytes:
    return synced


def _new(synced: bytes, written: bytes) -> bytes:
    return written


def _half(synced: bytes, written: bytes) -> bytes:
    return written if written == synced else written[: max(len(synced), len(written) // 2)]


def _zeros(synced: bytes, written: bytes) -> bytes:
    return written if written == synced else synced + b"\0" * (len(written) - len(synced))


def workload(root: Path, mark: Callable[[str, str], None]) -> None:
    """Suspects of rising and falling value into a spool that holds few, with an upload in between."""
    from logs import add, suspect

    from irdim_edge.spool import Bounds, Spool
    from irdim_edge.upload import Destination, Uploader

    spool = Spool(root / "out" / "spool", Bounds(1 << 20, 4))
    for turn, score in enumerate((0.5, 0.3, 0.8, 0.6, 0.9, 0.1, 0.7, 0.4, 0.95, 0.2, 0.65, 0.85)):
        path = add(spool, suspect(turn, score))
        if path is not None:
            mark("accepted", path.name)
        if turn in (5, 8):
            Uploader(spool, Destination((root / "depot" / "logs").as_uri())).run_once()
    spool.close()


if __name__ == "__main__":
    recorder = Recorder(Path(sys.argv[1]))
    workload(recorder.root, recorder.mark)
    recorder.mark("ended", "")
    print(json.dumps(recorder.events))
