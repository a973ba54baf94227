"""The answers of the live page: its files, its pictures, and the stream of events that it follows (docs/live.md)."""

import json
import math
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files
from io import BufferedIOBase
from typing import Any

from irdim_edge.live.picture import ORIGINAL, VIEWS
from irdim_edge.live.view import EVERY, LiveView

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/live/main.js": ("main.js", "text/javascript; charset=utf-8"),
    "/live/viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "/live/overlay.js": ("overlay.js", "text/javascript; charset=utf-8"),
    "/live/counters.js": ("counters.js", "text/javascript; charset=utf-8"),
    "/live/style.css": ("style.css", "text/css; charset=utf-8"),
}
PICTURE = "/live/frame.png"
STATUS_EVERY = 0.5  # seconds between two events of the counters

Answer = tuple[HTTPStatus, str, bytes, dict[str, str]]


def is_page(path: str) -> bool:
    return path == PICTURE or path in FILES


def answer_of(path: str, query: dict[str, str], live: LiveView) -> Answer:
    """A file of the page, or a picture: `number` of its event (the newest without), `view`, and the percentiles `low` and `high`."""
    if path != PICTURE:
        name, kind = FILES[path]
        return HTTPStatus.OK, kind, (files("irdim_edge.live") / "static" / name).read_bytes(), {}
    try:
        number = int(query["number"]) if "number" in query else None
        view = query.get("view", ORIGINAL)
        low, high = float(query.get("low", 0.5)), float(query.get("high", 99.9))
    except ValueError:
        return _refused("number, low and high are numbers")
    if view not in VIEWS:
        return _refused(f"view is {' or '.join(VIEWS)}")
    if not (math.isfinite(low) and math.isfinite(high) and 0 <= low < high <= 100):
        return _refused("low and high are percentiles: 0 <= low < high <= 100")
    picture = live.picture(number, view, low, high)
    if picture is None:
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"no frame has come yet\n", {}
    about = {"X-Irdim-Number": str(picture.number), "X-Irdim-Window": f"{picture.low:.6g} {picture.high:.6g}"}
    return HTTPStatus.OK, "image/png", picture.png, about


def stream(
    file: BufferedIOBase, live: LiveView, status: Callable[[], dict[str, Any]], closing: threading.Event
) -> None:
    """Server-Sent Events until the client goes or the daemon ends: `hello`, then `frame` and `status`; `full` where there are viewers enough."""

    def send(event: str, value: dict[str, Any]) -> None:
        file.write(f"event: {event}\ndata: {json.dumps(value)}\n\n".encode())
        file.flush()

    with live.viewer() as room:
        if not room:
            send("full", {})
            return
        send("hello", {"masks": live.masks})
        shown, said = None, -math.inf
        while not closing.is_set():
            moment = live.moment()
            if moment is not None and moment is not shown:
                shown = moment
                send("frame", moment.said)
            if time.monotonic() - said >= STATUS_EVERY:
                said = time.monotonic()
                send("status", status())
            closing.wait(EVERY)
        send("status", status())  # how it ended


def _refused(why: str) -> Answer:
    return HTTPStatus.BAD_REQUEST, "text/plain", f"{why}\n".encode(), {}
