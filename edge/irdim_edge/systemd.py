"""What systemd is told of the daemon: sd_notify(3), a datagram to the socket that it names in the environment."""

import contextlib
import os
import socket
import time


class Notifier:
    """Does nothing where systemd did not start the process with Type=notify."""

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        self._to = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if path else None

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
