"""Locks between processes: a file that one of them holds. The kernel lets go of it when the holder dies, whatever it dies of."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PATIENCE = 0.5  # seconds; others look at a lock for a moment


def take_lock(path: Path, patience: float = PATIENCE) -> IO[str] | None:
    """The locked file, to be closed in the end; None where another process holds it."""
    file = path.open("w")
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                file.close()
                return None
            time.sleep(0.05)
        except BaseException:
            file.close()
            raise
        else:
            return file


@contextlib.contextmanager
def holding(path: Path, patience: float = PATIENCE) -> Iterator[bool]:
    """Whether this process holds the lock, until the block ends."""
    file = take_lock(path, patience)
    try:
        yield file is not None
    finally:
        if file is not None:
            file.close()
