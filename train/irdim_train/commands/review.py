"""irdim-train review: the page in the browser, or the terminal."""

import ipaddress
import json
import secrets
import socket
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.wording import number_of
from irdim_train.login import login_name

if TYPE_CHECKING:
    from irdim.dataset import Dataset, QueueItem

KEYS = {
    "a": "accept",
    "l": "reject",
    "t": "target",
    "i": "interference",
    "g": "ignore",
    "d": "background",
    "s": "skip",
}  # as on the page
SHOWN = 24  # px of the frame that the terminal shows around an item


def command(
    data: Annotated[Path, typer.Argument(help="Data set (folder).")] = Path("data"),
    decide: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=DECISION", help="accept, reject, target, interference, ignore, background or skip; several."
        ),
    ] = None,
    accept: Annotated[
        list[int] | None, typer.Option(metavar="ID", help="Short for --decide ID=accept; several.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who decides; your login name if not set.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only items of this kind (missed, false_alarm, ...).")] = None,
    most: Annotated[int, typer.Option(help="Only so many items, the best scores first; 0: all.")] = 0,
    picture: Annotated[Path | None, typer.Option(metavar="OUT", help="Write a PNG of each listed item here.")] = None,
    ask: Annotated[
        bool | None, typer.Option("--ask/--list", help="In the terminal: ask item by item, or only list.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the items as JSON; asks nothing.")] = False,
    host: Annotated[
        str,
        typer.Option(help="Address of the page. Other than loopback: who opens it needs the token that is printed."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0: any that is free.")] = 8765,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Show what the queue proposes, best score first, and decide it: on a page in the browser, or with one of --list, --ask,
    --json, --decide, --accept, --picture in the terminal.

    Example: irdim-train review data

    Example: irdim-train review data --picture looked-at --decide 12=target --decide 15=interference --by anna
    """
    from irdim.dataset import Dataset
    from irdim_train import reviewing

    who = by or login_name()
    if ask is None and not (decide or accept or picture or as_json):
        _page(data, host, port, who, browser)
        return
    wanted = [_decision(text) for text in decide or []] + [(number, "accept") for number in accept or []]
    console = stdout_console(soft_wrap=True)
    with Dataset.open(data) as opened:
        with opened.transaction():  # all that was named, or nothing
            for number, decision in wanted:
                opened.decide(number, decision, who=who, why="review")
        known = opened.queue_progress()["kinds"]
        if kind is not None and kind not in known:
            raise InputError(f"--kind {kind}: no item of that kind; there are {', '.join(known) or 'none at all'}")

        def waiting() -> "list[QueueItem]":
            return [i for i in opened.queue_items("open") if kind is None or i.kind == kind]

        items = waiting()
        listed = items[: most or None]
        pictures = reviewing.write_pictures(opened, listed, picture) if picture else []
        if as_json:
            names = reviewing.sequence_names(opened)
            print(json.dumps([reviewing.as_json(i, names[i.sequence_id].name) for i in listed]))
            return
        if wanted:
            console.print(f"{len(wanted)} decided by {who}")
        if pictures:
            console.print(f"{len(pictures)} pictures in {picture}")
        if ask and listed:
            _ask(console, opened, listed, who)
        elif ask is not None or not wanted:
            _list(console, opened, listed)
        console.print(f"{len(waiting())} open")


def _page(data: Path, host: str, port: int, who: str, browser: bool) -> None:
    """Serve the page until Ctrl-C."""
    from irdim.dataset import Dataset
    from irdim_train.review_page import serve

    with Dataset.open(data) as opened:
        counts = opened.queue_progress()["kinds"].values()
    waiting = sum(c["all"] - c["decided"] for c in counts)
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=kind)
    except OSError as error:
        raise InputError(
            f"{host}:{port}: the page cannot be served there ({error.strerror}); choose another --port or --host"
        ) from None
    with listening:
        bound, port = listening.getsockname()[:2]
        token = None if ipaddress.ip_address(bound).is_loopback else secrets.token_urlsafe(24)
        name = f"[{bound}]" if ":" in bound else bound
        if token and ipaddress.ip_address(bound).is_unspecified:
            name = socket.gethostname()
        url = f"http://{name}:{port}/" + (f"?token={token}" if token else "")
        print(f"{number_of(waiting, 'open question')}; review at {url}  (Ctrl-C ends it)", flush=True)
        if browser and sys.stdout.isatty():
            webbrowser.open(url)
        serve(data, listening, who=who, token=token)


def _list(console: Console, data: "Dataset", items: "list[QueueItem]") -> None:
    from irdim_train.reviewing import sequence_names

    names = sequence_names(data)
    table = Table(
        *(Column(name, no_wrap=True) for name in ("id", "kind", "proposes", "score")),
        "sequence, frame",
        "x, y",
        "reason",
    )
    for i in items:
        place, of = f"{i.box.x:.1f}, {i.box.y:.1f}", f"{names[i.sequence_id].name}, {i.frame}"
        table.add_row(str(i.id), i.kind, i.box.label, f"{i.score:.3f}", of, place, i.reason)
    console.print(table)


def _ask(console: Console, data: "Dataset", items: "list[QueueItem]", who: str) -> None:
    """Item by item: show it, read one letter, record the decision at once."""
    from irdim_train.reviewing import in_characters, panels, sequence_names

    names = sequence_names(data)
    letters = "  ".join(f"[b]{k}[/b] {name}" for k, name in KEYS.items())
    decided = 0
    for number, item in enumerate(items, 1):
        sequence = names[item.sequence_id]
        console.print(f"\n{number} of {len(items)}: {item.kind}, score {item.score:.3f}, proposes {item.box.label}")
        console.print(f"{sequence.name} frame {item.frame}, ({item.box.x:.1f}, {item.box.y:.1f}): {item.reason}")
        console.print("before, at, after, difference; the place is in the middle")
        console.print(in_characters(panels(data, item, sequence, SHOWN)), no_wrap=True, crop=True, markup=True)
        while True:
            console.print(f"{letters}  [b]q[/b] quit: ", end="", markup=True)
            answer = sys.stdin.readline().strip().lower()[:1] or "q"
            if answer == "q":
                console.print(f"{decided} decided by {who}")
                return
            if answer in KEYS:
                break
        data.decide(item.id, KEYS[answer], who=who, why="review")
        decided += answer != "s"
    console.print(f"{decided} decided by {who}; that was all")


def _decision(text: str) -> tuple[int, str]:
    number, _, decision = text.partition("=")
    if not number.isdecimal() or decision not in KEYS.values():
        raise InputError(f"--decide {text}: write ID=DECISION, with one of {', '.join(KEYS.values())}")
    return int(number), decision
