"""Messages over the network, as they come: a listener that is slow or away holds nothing up, and what it does not get is counted."""

import hashlib
import json
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from typing import Any, Protocol

from irdim.errors import InputError
from irdim_edge.config.addresses import Broker

CLOSING = 0.5  # seconds that the end of the run waits
LARGEST = 60_000  # bytes of a message; a datagram takes 65,507
RESOLVE_EVERY = 300.0  # seconds between two looks at where a host is; it may move
RESOLVE_AGAIN = 1.0  # the same at first while there is none, or nothing can be sent to it ...
RESOLVE_AT_LEAST = 60.0  # ... and later
LONGEST_NAME = 64  # characters of an MQTT client's name


class Publisher(Protocol):
    """counts: sent and unsent messages. trouble: why the last was not sent, for a person."""

    counts: Counter[str]
    trouble: str

    def send(self, message: dict[str, Any]) -> None:
        """Send it or count it; never waits."""

    def close(self) -> None: ...


class Udp:
    """A datagram a message."""

    def __init__(self, host: str, port: int) -> None:
        """The host may have no address yet."""
        self.counts: Counter[str] = Counter()
        self.trouble = ""
        self._host, self._port, self._closed = host, port, threading.Event()
        self._resolved: tuple[socket.socket, Any] | None = None
        self._tried, self._failed = threading.Event(), threading.Event()
        threading.Thread(target=self._follow, name="udp", daemon=True).start()
        self._tried.wait(CLOSING)  # an address is one at once

    def send(self, message: dict[str, Any]) -> None:
        resolved = self._resolved
        if resolved is None:
            self.counts["unsent"] += 1
            return
        try:
            resolved[0].sendto(encode(message), resolved[1])
        except OSError as error:  # no route, or the socket's buffer is full
            self.counts["unsent"] += 1
            self.trouble = error.strerror or str(error)
            self._failed.set()
        else:
            self.counts["sent"] += 1
            self.trouble = ""

    def close(self) -> None:
        self._closed.set()
        if self._resolved is not None:
            self._resolved[0].close()

    def _follow(self) -> None:
        """Find the host, however long there is no network, and again now and then: behind its name may soon be another address."""
        wait = RESOLVE_AGAIN
        while not self._closed.is_set():
            found, due = self._resolve(), time.monotonic() + RESOLVE_EVERY
            self._failed.clear()
            self._tried.set()
            while not self._closed.wait(wait) and found and time.monotonic() < due and not self._failed.is_set():
                pass
            wait = RESOLVE_AGAIN if found and not self._failed.is_set() else min(2 * wait, RESOLVE_AT_LEAST)

    def _resolve(self) -> bool:
        """False where the host is not found; messages go on to where it was."""
        try:
            family, kind, protocol, _, to = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            if self._resolved is None:
                self.trouble = f"{self._host}: no such host ({error.strerror})"
            return False
        before = self._resolved
        if before is None or before[0].family != family:
            found = socket.socket(family, kind, protocol)
            found.setblocking(False)
            self._resolved = found, to
        else:
            self._resolved = before[0], to
        if before is None:
            self.trouble = ""
        return True


class Mqtt:
    """A broker, under TOPIC/detections; TOPIC/state says `online` or, when the connection breaks, `offline` (both retained)."""

    def __init__(
        self, broker: Broker, *, name: str, user: str = "", password: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        """name: of the client, which the broker wants only once, see `client_name`; tls: None for none. Raises InputError where paho-mqtt is absent."""
        try:
            from paho.mqtt import client as paho
        except ImportError:
            raise InputError("output.mqtt needs paho-mqtt: pip install 'irdim[mqtt]'") from None
        self.counts: Counter[str] = Counter()
        self.trouble = "not connected yet"
        self._topic, self._where = broker.topic, f"{broker.host}:{broker.port}"
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_name(name))
        if user:
            self._client.username_pw_set(user, password or None)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.will_set(f"{broker.topic}/state", "offline", retain=True)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_connect_fail = self._not_connected
        self._client.connect_async(broker.host, broker.port, keepalive=15)
        self._client.loop_start()

    def send(self, message: dict[str, Any]) -> None:
        if self._client.is_connected():
            self._client.publish(f"{self._topic}/detections", encode(message))
            self.counts["sent"] += 1
        else:  # what is old when the network is back is of no use to a listener; the files have it
            self.counts["unsent"] += 1

    def close(self) -> None:
        if self._client.is_connected():
            self._client.publish(f"{self._topic}/state", "offline", retain=True)
        self._client.disconnect()
        ending = threading.Thread(target=self._client.loop_stop, daemon=True)
        ending.start()
        ending.join(CLOSING)  # it may be waiting for a name server

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.trouble = "" if reason == 0 else f"the broker refuses: {reason}"
        if reason == 0:
            client.publish(f"{self._topic}/state", "online", retain=True)

    def _not_connected(self, *_: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this while it handles the error, which it does not pass on
        self.trouble = f"{self._where} not reached ({error})" if error else f"{self._where} not reached"

    def _disconnected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.trouble = f"the connection broke: {reason}"


def client_name(name: str) -> str:
    """Short enough for a broker; where it is cut, a digest of the whole keeps it apart from others."""
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 1 - len(digest)]}-{digest}"


def encode(message: dict[str, Any]) -> bytes:
    """Compact JSON; detections that would make it too large are left out, the weakest first, and `left_out` says how many. Raises ValueError where it
    holds NaN or infinity."""
    detections, left_out = message["detections"], 0
    while True:
        shown = {**message, "detections": detections, **({"left_out": left_out} if left_out else {})}
        data = json.dumps(shown, allow_nan=False, separators=(",", ":")).encode()
        if len(data) <= LARGEST or not detections:
            return data
        kept = len(detections) * LARGEST // (len(data) + 1000)
        left_out += len(detections) - kept
        detections = detections[:kept]
