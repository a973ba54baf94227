"""Empties the spool towards an fsspec URL: at least once on the wire, exactly once in effect.

A file is put under a temporary name, read back, and renamed once size and digest are right; only then the local file goes. A name holds the digest
of its content, so that a file which is there already is known, and is not sent again.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from irdim.errors import InputError
from irdim.fieldlog import digest_in
from irdim.remote import TIMEOUT, close_remote, describe_failure, open_remote
from irdim_edge.spool import Spool
from irdim_edge.spool_index import Entry
from irdim_edge.transfer import Hours, Pace, Stopped, put

LONGEST_WAIT = 300.0  # seconds between tries when nothing gets through
FAILURES = 3  # in a row, after which a pass ends: it is not this file, it is the way there


@dataclass(frozen=True)
class Destination:
    """Where to, with what credentials, how fast and when. timeout: seconds an answer may take; bytes_per_second: None for no cap."""

    url: str
    known_hosts: Path | None = None
    identity: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout: float = TIMEOUT
    bytes_per_second: float | None = None
    hours: Hours = Hours()  # noqa: RUF009 - frozen

    def open(self) -> tuple[Any, str]:
        """Its file system and the path in it."""
        keys = {"known_hosts": self.known_hosts, "identity": self.identity}
        return open_remote(self.url, **keys, options=self.options, timeout=self.timeout)

    def describe(self, error: BaseException) -> str:
        """A failure in one line, without credentials."""
        return describe_failure(self.url, error, self.options)


@dataclass
class UploadState:
    """What the uploader has done; read by status.json. busy: another process was uploading from the spool."""

    uploaded: int = 0
    bytes: int = 0
    already_there: int = 0
    failures: int = 0
    busy: bool = False
    last_error: str = ""


class Uploader:
    """Uploads what waits in a spool; `start` lets a thread do so until `stop`."""

    def __init__(self, spool: Spool, destination: Destination, *, interval: float = 5.0) -> None:
        """interval: seconds between looks at the spool."""
        self.spool, self.destination, self.interval = spool, destination, interval
        self.state = UploadState()
        self._stopping, self._finishing, self._wake = threading.Event(), threading.Event(), threading.Event()
        self._pace = Pace(destination.bytes_per_second, self._stopping)
        self._thread: threading.Thread | None = None
        self._remote: tuple[Any, str] | None = None

    def check(self) -> None:
        """Connect. Raises InputError, without credentials in it, where that fails or where the URL is no folder."""
        try:
            fs, folder = self._connected()
            wrong = fs.exists(folder) and not fs.isdir(folder)
        except Exception as error:  # every transport has exceptions of its own
            self._disconnect()
            raise InputError(self.destination.describe(error)) from None
        if wrong:
            raise InputError(self.destination.describe(NotADirectoryError("is a file; name a folder")))

    def run_once(self, progress: Callable[[Entry], None] = lambda entry: None) -> int:
        """One pass over all that waits, most valuable first; returns how many got there.

        A file that fails is left for the next pass; several in a row end this one. Failures are noted in `state`. Raises OSError where the spool itself
        cannot be read.
        """
        done = failed = 0
        self.state.last_error = ""
        with self.spool.uploading() as mine:
            self.state.busy = not mine
            for entry in self.spool.entries() if mine else []:
                if self._stopping.is_set() or failed == FAILURES or not self._allowed():
                    break
                try:
                    done += self._upload(entry)
                    failed = 0
                    progress(entry)
                except Stopped:
                    break
                except Exception as error:  # every transport has exceptions of its own
                    failed += 1
                    self._disconnect()  # a broken connection is not used again
                    self.state.failures += 1
                    self.state.last_error = self.destination.describe(error)
        return done

    def run_until_empty(self, *, tries: int = 5, longest: float = 10.0) -> bool:
        """Passes until nothing waits that could be sent; False where `tries` of them in a row brought nothing."""
        left = tries
        while True:
            left = tries if self.run_once() else left - 1
            if not self.state.last_error or self._stopping.is_set():
                return True
            if not left:
                return False
            self._stopping.wait(_jittered(min(2.0 ** (tries - left), longest)))

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="uploader", daemon=True)
        self._thread.start()

    def stop(self, wait: float = 0.5) -> None:
        """Ask the thread to end, and wait for it that long. What it was sending stays in the spool."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(wait)

    def finish(self, stopping: threading.Event, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Let the thread try once more, and wait for it; no longer than until `stopping` is set. meanwhile: called often, since a slow line wants hours."""
        self._finishing.set()
        self._wake.set()
        while self._thread is not None and self._thread.is_alive() and not stopping.is_set():
            self._thread.join(0.1)
            meanwhile()
        self.stop()

    def _loop(self) -> None:
        pause = self.interval
        while not self._stopping.is_set():
            last = self._finishing.is_set()
            done = self._pass()
            if last:
                break
            slower = min(max(pause, 1.0) * 2, LONGEST_WAIT)
            pause = slower if self.state.last_error and not done else self.interval
            self._wake.wait(_jittered(pause))
        self._disconnect()

    def _pass(self) -> int:
        """As run_once; a spool that cannot be read (its disk is away, too many open files) is noted like a failure on the way, and tried again."""
        try:
            return self.run_once()
        except Exception as error:  # whatever it is, the next pass may work
            why = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
            self.state.failures += 1
            self.state.last_error = f"{self.spool.folder}: cannot be read ({why})"
            return 0

    def _allowed(self) -> bool:
        return self.destination.hours.allow(datetime.now())

    def _connected(self) -> tuple[Any, str]:
        if self._remote is None:
            self._remote = self.destination.open()
        return self._remote

    def _disconnect(self) -> None:
        if self._remote is not None:
            close_remote(self._remote[0])
            self._remote = None

    def _upload(self, entry: Entry) -> int:
        try:
            data = self.spool.path(entry).read_bytes()
        except FileNotFoundError:  # evicted meanwhile
            return 0
        digest = hashlib.sha256(data).hexdigest()
        if not digest.startswith(digest_in(entry.name)):
            self.spool.set_aside(entry.name)
            return 0
        sent = put(*self._connected(), entry.name, data, digest, self._pace)
        self.spool.remove(entry)
        self.state.uploaded += 1
        self.state.already_there += not sent
        self.state.bytes += len(data) if sent else 0
        return 1


def _jittered(seconds: float) -> float:
    """Half of it to all of it, so that devices that lost the same server do not come back at once."""
    return seconds * random.uniform(0.5, 1.0)
