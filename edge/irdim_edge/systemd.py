"""What systemd is told of the daemon: sd_notify(3), a datagram to the socket that it names in the environment."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

OPENING_EVERY = 10.0  # seconds
OPENING_AT_MOST = 3600.0  # seconds; an engine is built in minutes, and what takes longer hangs


class Notifier:
    """Does nothing where systemd did not start the process with Type=notify."""

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        self._to = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if path else None
        self.watched = bool(path and os.environ.get("WATCHDOG_USEC"))  # whether a process that is not alive is ended

    @contextlib.contextmanager
    def opening(self, status: str) -> Iterator[None]:
        """While something may take minutes (an engine that is built first): neither the watchdog nor the time that a start may take ends the process."""
        done, until = threading.Event(), time.monotonic() + OPENING_AT_MOST

        def tell() -> None:
            while time.monotonic() < until:
                self._send(f"WATCHDOG=1\nEXTEND_TIMEOUT_USEC={int(6e6 * OPENING_EVERY)}\nSTATUS={status}")
                if done.wait(OPENING_EVERY):
                    return

        teller = threading.Thread(target=tell, name="opening", daemon=True)
        if self._socket is not None:
            teller.start()
        try:
            yield
        finally:
            done.set()
            if teller.is_alive():
                teller.join()  # nothing is said of the opening after READY

    def ready(self) -> None:
        """The bundle is loaded, and frames are being asked for."""
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """Frames come. status: one line for `systemctl status`."""
        self._send(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def reloading(self) -> None:
        """The same process begins anew, and will be ready again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def _send(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # a supervisor that has gone away stops no camera
                self._socket.sendto(text.encode(), self._to)
