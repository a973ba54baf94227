"""Empties the spool towards an fsspec URL: at least once on the wire, exactly once in effect.

A log is put under a temporary name, read back, and renamed once size and digest are right; only then the local file goes. A name holds the digest
of its content, so that a log which is there already is known, and is not sent again.
"""

import contextlib
import hashlib
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irdim.errors import InputError
from irdim.fieldlog import digest_in
from irdim.remote import hide_password, open_remote, remote_digest
from irdim_edge.spool import Entry, Spool

LONGEST_WAIT = 300.0  # seconds between tries when nothing gets through


@dataclass
class UploadState:
    """What the uploader has done; read by status.json."""

    uploaded: int = 0
    bytes: int = 0
    already_there: int = 0
    failures: int = 0
    last_error: str = ""


class Uploader:
    """Uploads what waits in a spool; `start` lets a thread do so until `stop`."""

    def __init__(
        self,
        spool: Spool,
        url: str,
        *,
        interval: float = 5.0,
        known_hosts: Path | None = None,
        identity: Path | None = None,
    ) -> None:
        """interval: seconds between looks at the spool."""
        self.spool, self.url, self.interval = spool, url, interval
        self.state = UploadState()
        self._keys = {"known_hosts": known_hosts, "identity": identity}
        self._stopping, self._finishing, self._wake = threading.Event(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._remote: tuple[Any, str] | None = None

    def run_once(self, progress: Callable[[Entry], None] = lambda entry: None) -> int:
        """Upload all that waits, most valuable first; returns how many got there. The first failure ends it and is raised."""
        done = 0
        with self.spool.uploading() as mine:
            if not mine:
                return 0
            try:
                for entry in self.spool.entries():
                    if self._stopping.is_set():
                        break
                    done += self._upload(entry)
                    progress(entry)
            except BaseException:
                self._remote = None  # a broken connection is not used again
                raise
        return done

    def try_once(self) -> bool:
        """`run_once`, with a failure noted in `state` instead of raised."""
        try:
            self.run_once()
        except Exception as error:  # every transport has exceptions of its own
            self.state.failures += 1
            self.state.last_error = describe(self.url, error)
            return False
        self.state.last_error = ""
        return True

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="uploader", daemon=True)
        self._thread.start()

    def stop(self, wait: float = 0.5) -> None:
        """Ask the thread to end, and wait for it that long. What it was sending stays in the spool."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(wait)

    def finish(self, stopping: threading.Event) -> None:
        """Let the thread try once more, and wait for it; no longer than until `stopping` is set."""
        self._finishing.set()
        self._wake.set()
        while self._thread is not None and self._thread.is_alive() and not stopping.is_set():
            self._thread.join(0.1)
        self.stop()

    def _loop(self) -> None:
        pause = self.interval
        while not self._stopping.is_set():
            last = self._finishing.is_set()
            longer = min(max(pause, 1.0) * 2, LONGEST_WAIT)
            pause = self.interval if self.try_once() else longer
            if last:
                return
            self._wake.wait(pause * random.uniform(0.7, 1.0))

    def _upload(self, entry: Entry) -> int:
        try:
            data = entry.path.read_bytes()
        except FileNotFoundError:  # evicted meanwhile
            return 0
        digest = hashlib.sha256(data).hexdigest()
        if not digest.startswith(digest_in(entry.path.name)):
            self.spool.set_aside(entry.path)
            return 0
        if self._remote is None:
            self._remote = open_remote(self.url, **self._keys)
        sent = put(*self._remote, entry.path.name, data, digest)
        self.spool.remove(entry)
        self.state.uploaded += 1
        self.state.already_there += not sent
        self.state.bytes += len(data) if sent else 0
        return 1


def put(fs: Any, folder: str, name: str, data: bytes, digest: str) -> bool:
    """Bring `data` to folder/name and verify it there; False where it was there already. Raises OSError where the copy is not right."""
    final, part = f"{folder.rstrip('/')}/{name}", f"{folder.rstrip('/')}/.{name}.part"
    fs.invalidate_cache()
    with contextlib.suppress(FileNotFoundError):
        if fs.size(final) == len(data) and remote_digest(fs, final) == (len(data), digest):
            return False
    fs.makedirs(folder, exist_ok=True)
    with fs.open(part, "wb") as file:
        file.write(data)
    if remote_digest(fs, part) != (len(data), digest):
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


def describe(url: str, error: BaseException) -> str:
    """A failure in one line, without credentials."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, InputError) else f"{hide_password(url)}: {text}"


def _rename(fs: Any, part: str, final: str) -> None:
    if fs.protocol in ("file", ("file", "local")):
        os.replace(part, final)  # noqa: PTH105 - strings, as fsspec has them
    else:
        fs.mv(part, final)


def _sync_local(fs: Any, path: str) -> None:
    """On this machine's disk a copy counts once it survives a power cut; a server sees to that itself."""
    if fs.protocol in ("file", ("file", "local")):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
