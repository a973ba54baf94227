"""A command that runs long, on the terminal: a line of what it does, and signals that end it cleanly."""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

STOPS = (signal.SIGINT, signal.SIGTERM)
EVERY = 0.25  # seconds between two changes of the line


@contextlib.contextmanager
def status_line(first: str, *, quiet: bool) -> Iterator[Callable[[Callable[[], str]], None]]:
    """Gives what changes the line on stderr: called with a function that makes its text, as often as one likes. Nothing where nobody looks, or `quiet`."""
    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal:
        yield lambda text: None
        return
    changed = 0.0
    with console.status(first) as line:

        def change(text: Callable[[], str]) -> None:
            nonlocal changed
            if time.monotonic() - changed >= EVERY:
                changed = time.monotonic()
                line.update(text())

        yield change


class Stop(threading.Event):
    """Set by a signal, which it then remembers, or from inside."""

    signalled = False

    def signal(self, *_: object) -> None:
        """Handler of a signal."""
        self.signalled = True
        self.set()


def stop_on_signals() -> Stop:
    """Set by Ctrl-C and SIGTERM; one that comes while the process ends anyway changes nothing of its exit status."""
    stopping = Stop()
    for number in STOPS:
        signal.signal(number, stopping.signal)
    atexit.register(_ignore_stops)  # Python ends without handlers: the default would make of a clean end a kill
    return stopping


def _ignore_stops() -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def begin_anew(stopping: Stop) -> None:
    """Become the same command again, in the same process, as systemd wants it. Returns where a signal has asked to stop."""
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # also in what begins, until it listens: what is asked for is being done
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)  # from here on they end the process at once, whatever it is just then
    if not stopping.signalled:
        _close_all()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _close_all() -> None:
    """All but standard input, output and error: a library's handle of the camera must not go along. One by one, since a limit may be a thousand million;
    where nothing lists them, those that Python opened close by themselves."""
    try:
        handles = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    except OSError:
        return
    for handle in handles:
        if handle > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(handle)
