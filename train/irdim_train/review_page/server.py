"""The server of the review page. Every decision is in the data set before the page is told that it is."""

import hmac
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.dataset.queue import AlreadyDecided
from irdim.errors import InputError
from irdim_train.labelling import follow
from irdim_train.review_page.views import facts, pixels, shifts
from irdim_train.reviewing import as_json, sequence_names

STATIC = Path(__file__).with_name("static")
LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]
COOKIE, WHY = "irdim_review", "review page"
MOST, LARGEST = 200, 4_000_000  # items a page; bytes of a request


def serve(data: Path, listening: socket.socket, *, who: str, token: str | None) -> None:
    """Serve on a bound socket until Ctrl-C. token: who has it may review; None only where loopback alone can reach the page."""
    config = uvicorn.Config(make_app(data, who=who, token=token), log_level="warning", timeout_graceful_shutdown=3)
    with suppress(KeyboardInterrupt):  # the way to end it: uvicorn has closed everything by then
        uvicorn.Server(config).run(sockets=[listening])


def make_app(data: Path, *, who: str, token: str | None) -> Starlette:
    """The page of one data set. who: the name that the page suggests for the reviewer."""

    @contextmanager
    def opened() -> Iterator[Dataset]:
        with Dataset.open(data) as dataset:  # a connection a request: requests run in several threads
            yield dataset

    def reading(answer: Callable[[Dataset, Request], Any]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            with opened() as dataset:
                found = answer(dataset, request)
            if isinstance(found, bytes):
                return Response(found, media_type="application/octet-stream")
            return JSONResponse(found)

        return endpoint

    def writing(answer: Callable[[Dataset, dict[str, Any]], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = await _body(request)

            def work() -> Any:
                with opened() as dataset:
                    return answer(dataset, body)

            try:
                return JSONResponse(await run_in_threadpool(work))
            except InputError:
                raise
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise InputError(f"request that this page does not send ({error!r}); reload the page") from None

        return endpoint

    routes = [
        Route("/", lambda request: Response((STATIC / "index.html").read_bytes(), media_type="text/html")),
        Route("/api/start", lambda request: JSONResponse({"who": who, "data": str(data)})),
        Route("/api/queue", reading(_queue)),
        Route("/api/progress", reading(lambda dataset, _: dataset.queue_progress())),
        Route("/api/items/{id:int}", reading(lambda d, r: facts(d, *d.queue_item(r.path_params["id"])))),
        Route("/api/items/{id:int}/pixels", reading(lambda d, r: pixels(d, d.queue_item(r.path_params["id"])[0]))),
        Route("/api/items/{id:int}/shifts", reading(lambda d, r: shifts(d, d.queue_item(r.path_params["id"])[0]))),
        Route("/api/items/{id:int}/decision", writing(_decide), methods=["POST"]),
        Route("/api/undo", writing(_undo), methods=["POST"]),
        Route("/api/follow", writing(_follow), methods=["POST"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    guards = [Middleware(_Token, token=token)] if token else [Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)]
    told: dict[Any, Any] = {InputError: _refused, AlreadyDecided: _refused}
    return Starlette(routes=routes, middleware=guards, exception_handlers=told)


class _Token:
    """Lets those through who bring the token: once in the address, from then on in a cookie."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = Request(scope)
        if self._is(request.cookies.get(COOKIE)):
            return await self.app(scope, receive, send)
        if request.url.path == "/" and self._is(request.query_params.get("token")):
            answer: Response = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
        else:
            answer = Response("open the address with the token that irdim-train review printed\n", 401)
        await answer(scope, receive, send)

    def _is(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self.token.encode())


def _queue(data: Dataset, request: Request) -> list[dict[str, Any]]:
    q = request.query_params
    after, most = q.get("after"), q.get("most", "30")
    if not most.isdecimal() or not (after is None or after.isdecimal()):
        raise InputError("after and most are numbers")
    items = data.queue_page(
        kind=q.get("kind") or None,
        sequence=q.get("sequence") or None,
        order=q.get("order", "score"),
        after=int(after) if after else None,
        most=min(int(most), MOST),
    )
    names = sequence_names(data)
    return [{k: v for k, v in as_json(i, names[i.sequence_id].name).items() if k != "provenance"} for i in items]


def _decide(data: Dataset, body: dict[str, Any]) -> dict[str, Any]:
    """body: id, decision, who, box (of the item) or null, more: {frame: [boxes]}, track: {frame: corrected box, or null where it is not there}."""
    more = {int(frame): [_box(b) for b in boxes] for frame, boxes in (body.get("more") or {}).items()}
    box = _box(body["box"]) if body.get("box") else None
    track = {int(frame): _box(b) if b else None for frame, b in (body.get("track") or {}).items()}
    decided = data.decide(
        int(body["id"]), str(body["decision"]), who=_who(body), why=WHY, box=box, more=more, track=track
    )
    return {"review": decided}


def _undo(data: Dataset, body: dict[str, Any]) -> dict[str, Any]:
    return {"id": data.undo(int(body["review"]), who=_who(body), why=WHY)}


def _follow(data: Dataset, body: dict[str, Any]) -> dict[str, Any]:
    """body: sequence, marks [[frame, x, y]], label. Boxes by frame, for the reviewer to look at; nothing is written."""
    sequence = data.sequence(str(body["sequence"]))
    marks = {int(frame): (float(x), float(y)) for frame, x, y in body["marks"]}
    followed = follow(data.frames(sequence), marks, label=str(body["label"]))
    return {
        str(f): [{k: getattr(b, k) for k in ("x", "y", "w", "h", "label")}] for f, b in sorted(followed.boxes.items())
    }


def _box(given: dict[str, Any]) -> Box:
    x, y, w, h = (float(given[k]) for k in ("x", "y", "w", "h"))
    return Box(x, y, w, h, str(given["label"]))


def _who(body: dict[str, Any]) -> str:
    if not (who := str(body.get("who") or "").strip()) or len(who) > 200:
        raise InputError("who decides? write your name at the top of the page")
    return who


async def _body(request: Request) -> dict[str, Any]:
    """JSON only: a page of another site cannot send that without being asked."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise InputError("send JSON")
    text = b""
    async for part in request.stream():
        text += part
        if len(text) > LARGEST:
            raise InputError(f"request of more than {LARGEST} bytes")
    try:
        body = json.loads(text)
    except ValueError:
        raise InputError("not JSON") from None
    if not isinstance(body, dict):
        raise InputError("not a JSON object")
    return body | request.path_params


def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409 if isinstance(error, AlreadyDecided) else 400)
