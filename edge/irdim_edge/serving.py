"""What a running daemon answers over HTTP: /healthz, /metrics (Prometheus), /status, and the live page. On loopback, elsewhere only with a token."""

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from irdim.errors import InputError
from irdim_edge.live import LiveView
from irdim_edge.live.guard import HEADERS, Guard
from irdim_edge.live.pages import answer_of, is_page, stream

MOST_REQUESTS = 32  # at a time
PATIENCE = 20.0  # seconds in which a client has to say what it wants
THERMAL = Path("/sys/class/thermal")
COUNTS = {  # what status.json counts, by its key
    "frames": "Frames that came.",
    "detections": "Detections that were reported.",
    "tracks": "Tracks that were confirmed.",
    "uploaded": "Files that were uploaded and verified.",
    "evicted": "Files that the spool's bounds cost.",
    "skipped": "Frames that the engine had no time for.",
    "unwritten": "Lines that the disk had no time for.",
    "takeovers": "Bundles that were taken over while it ran.",
    "errors": "Errors that cost something, not the run.",
}
BY_KIND = {
    "camera_counts": ("event", "What happened to the camera and its frames."),
    "messages": ("outcome", "Messages over the network."),
    "warming": ("reason", "Frames without full history."),
    "verdicts": ("kind", "Verdicts of the tracker, and what else is suspected."),
    "suspects": ("kind", "Suspects that were logged."),
    "merged": ("kind", "Suspects merged with one logged lately."),
    "over_budget": ("kind", "Suspects over the day's budget."),
    "dropped": ("kind", "Suspects that could not be logged: no room, or their frames had gone."),
}


class Server:
    """Answers from threads of its own, from what `status` gives; it never holds up a frame."""

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        stale: float,
        status: Callable[[], dict[str, Any]],
        live: LiveView | None = None,
    ) -> None:
        """port: 0 for any free one; token: that a request must bear, empty for none; stale: seconds without a frame from which it is not healthy;
        status: as `irdim-edge status` prints it, with `idle`, seconds since the last frame; live: what the live page
        shows, None for no page. Raises InputError where the port cannot be had."""
        self._closing = threading.Event()
        handler = _handler(Guard(host, token), stale, status, live, self._closing)
        try:
            self._http = (_Http6 if ":" in host else _Http)((host, port), handler)
        except OSError as error:
            raise InputError(
                f"serve.host {host}, serve.port {port}: cannot be listened on ({error.strerror}); choose another"
            ) from None
        where = f"[{host}]" if ":" in host else host
        self.address = f"http://{where}:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.2,), name="serving", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    """Bounded: whoever reaches the port must not take the daemon's threads and file handles, token or not."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._room = threading.BoundedSemaphore(MOST_REQUESTS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away in the middle is no news
            super().handle_error(request, client_address)


class _Http6(_Http):
    address_family = socket.AF_INET6


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _handler(
    guard: Guard, stale: float, status: Callable[[], dict[str, Any]], live: LiveView | None, closing: threading.Event
) -> type[BaseHTTPRequestHandler]:
    registry = CollectorRegistry()
    registry.register(_Counts(status))

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds between two bytes that a client may keep a thread waiting

        def setup(self) -> None:
            super().setup()
            self._hurry = threading.Timer(PATIENCE, _cut, (self.connection,))  # and this until it has asked
            self._hurry.daemon = True
            self._hurry.start()

        def finish(self) -> None:
            self._hurry.cancel()
            super().finish()

        def do_GET(self) -> None:
            self._hurry.cancel()
            path, _, asked = self.path.partition("?")
            query = {k: v[-1] for k, v in parse_qs(asked).items()}
            if not guard.knows_host(self.headers.get("Host", "")):
                text = b"this host is not known here; ask for localhost or 127.0.0.1\n"
                self._answer(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", text)
            elif path == "/" and guard.is_token(query.get("token", "")):
                self._answer(
                    HTTPStatus.SEE_OTHER, "text/plain", b"", {"Location": "/", "Set-Cookie": guard.cookie(self._port)}
                )
            elif not guard.lets_in(self.headers, self._port):
                text = b"a token is needed: Authorization: Bearer TOKEN, or in a browser /?token=TOKEN\n"
                self._answer(HTTPStatus.UNAUTHORIZED, "text/plain", text)
            elif path == "/healthz":
                idle = status()["idle"]
                ok = idle <= stale
                text = b"ok\n" if ok else f"no frame for {idle:.0f} s\n".encode()
                self._answer(HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", text)
            elif path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif path == "/status":
                self._answer(HTTPStatus.OK, "application/json", json.dumps(status()).encode() + b"\n")
            elif live is not None and path == "/live":
                self._begin(HTTPStatus.OK, "text/event-stream", {})
                stream(self.wfile, live, status, closing)
            elif live is not None and is_page(path):
                self._answer(*answer_of(path, query, live))
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/, /healthz, /metrics or /status\n")

        @property
        def _port(self) -> int:
            return int(self.connection.getsockname()[1])

        def _begin(self, code: HTTPStatus, kind: str, more: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in {"Content-Type": kind, **HEADERS, **more}.items():
                self.send_header(name, value)
            self.end_headers()

        def _answer(self, code: HTTPStatus, kind: str, body: bytes, more: dict[str, str] | None = None) -> None:
            self._begin(code, kind, {"Content-Length": str(len(body)), **(more or {})})
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass  # a scrape every few seconds is no news

    return Handler


class _Counts(Collector):
    """The status as Prometheus metrics."""

    def __init__(self, status: Callable[[], dict[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        for name, text in COUNTS.items():
            yield CounterMetricFamily(f"irdim_{name}", text, value=status[name])
        for name, (label, text) in BY_KIND.items():
            family = CounterMetricFamily(f"irdim_{name.removesuffix('_counts')}", text, labels=[label])
            for key, value in dict(status[name]).items():
                family.add_metric([key], value)
            yield family
        yield GaugeMetricFamily("irdim_spool_files", "Files that wait to be uploaded.", value=status["waiting"])
        yield GaugeMetricFamily("irdim_idle_seconds", "Since the last frame.", value=status["idle"])
        spent = GaugeMetricFamily("irdim_milliseconds", "Of a frame's stages.", labels=["stage", "quantile"])
        for stage, quantiles in status["milliseconds"].items():
            for quantile, value in quantiles.items():
                spent.add_metric([stage, quantile], value)
        yield spent
        about = GaugeMetricFamily("irdim_run", "What runs.", labels=["device", "camera", "bundle"])
        about.add_metric([status["device"], status["camera"], status["bundle"]], 1)
        yield about
        heat = GaugeMetricFamily("irdim_temperature_celsius", "Of the board, where it can be read.", labels=["zone"])
        for zone, value in temperatures():
            heat.add_metric([zone], value)
        yield heat


def temperatures(folder: Path = THERMAL) -> list[tuple[str, float]]:
    """Name and degrees Celsius of each thermal zone that can be read."""
    found = []
    for zone in sorted(folder.glob("thermal_zone*")):
        try:
            found.append(((zone / "type").read_text().strip(), int((zone / "temp").read_text()) / 1000))
        except (OSError, ValueError):  # some zones of a Jetson are there and refuse to answer
            continue
    return found


class Idle:
    """Seconds since something last happened."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def touch(self) -> None:
        self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._last
