"""irdim-train review: the page in the browser, or the terminal."""

import ipaddress
import json
import secrets
import socket
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

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
UNSEEN = 2  # exit code where an item could not be shown
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
    most: Annotated[
        int, typer.Option(min=0, help="In the terminal: only so many items, the best scores first; 0: all.")
    ] = 0,
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
        if most:
            raise InputError(
                f"--most {most}: for the terminal (--list, --ask, --json, --picture); leave it out, the page can be left at any time"
            )
        _page(data, host, port, who, browser, kind)
        return
    wanted = [_decision(text) for text in decide or []] + [(number, "accept") for number in accept or []]
    console = stdout_console(soft_wrap=True)
    with Dataset.open(data) as opened:
        _check_kind(opened, kind)
        with opened.transaction():  # all that was named, or nothing
            for number, decision in wanted:
                opened.decide(number, decision, who=who, why="review")

        def waiting() -> "list[QueueItem]":
            return [i for i in opened.queue_items("open") if kind is None or i.kind == kind]

        items = waiting()
        listed = items[: most or None]
        pictures, problems = reviewing.write_pictures(opened, listed, picture) if picture else ([], [])
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        if as_json:
            names = reviewing.sequence_names(opened)
            print(json.dumps([reviewing.as_json(i, names[i.sequence_id].name) for i in listed]))
            raise typer.Exit(UNSEEN if problems else 0)
        if wanted:
            console.print(f"{len(wanted)} decided by {who}")
        if pictures:
            console.print(f"{len(pictures)} pictures in {picture}")
        if ask and listed:
            problems += _ask(console, opened, listed, who)
        elif ask is not None or not wanted:
            _list(console, opened, listed)
        console.print(f"{len(waiting())} open")
        raise typer.Exit(UNSEEN if problems else 0)


def _check_kind(data: "Dataset", kind: str | None) -> None:
    known = data.queue_progress()["kinds"]
    if kind is not None and kind not in known:
        raise InputError(f"--kind {kind}: no item of that kind; there are {', '.join(known) or 'none at all'}")


def _page(data: Path, host: str, port: int, who: str, browser: bool, kind: str | None) -> None:
    """Serve the page until Ctrl-C. kind: of the items that it begins with."""
    from irdim.dataset import Dataset
    from irdim_train.review_page import serve

    with Dataset.open(data) as opened:
        _check_kind(opened, kind)
        counts = opened.queue_progress()["kinds"]
    waiting = sum(c["all"] - c["decided"] for name, c in counts.items() if kind in (None, name))
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family)
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
        url += f"#{urlencode({'kind': kind})}" if kind else ""  # as main.js writes what is chosen on the page
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


def _ask(console: Console, data: "Dataset", items: "list[QueueItem]", who: str) -> list[str]:
    """Item by item: show it, read one letter, record the decision at once. Returns why items could not be shown; those are not asked about."""
    from irdim.dataset.queue import AlreadyDecided
    from irdim_train.reviewing import in_characters, panels, sequence_names, why_not_shown

    names = sequence_names(data)
    letters = "  ".join(f"[b]{k}[/b] {name}" for k, name in KEYS.items())
    decided, problems = 0, []
    for number, item in enumerate(items, 1):
        sequence = names[item.sequence_id]
        console.print(f"\n{number} of {len(items)}: {item.kind}, score {item.score:.3f}, proposes {item.box.label}")
        console.print(f"{sequence.name} frame {item.frame}, ({item.box.x:.1f}, {item.box.y:.1f}): {item.reason}")
        try:
            shown = in_characters(panels(data, item, sequence, SHOWN))
        except (InputError, OSError) as error:
            problems.append(why_not_shown(item, error))
            print(f"error: {problems[-1]}", file=sys.stderr)
            continue
        console.print("before, at, after, difference; the place is in the middle")
        console.print(shown, no_wrap=True, crop=True, markup=True)
        while True:
            console.print(f"{letters}  [b]q[/b] quit: ", end="", markup=True)
            answer = sys.stdin.readline().strip().lower()[:1] or "q"
            if answer == "q":
                console.print(f"{decided} decided by {who}")
                return problems
            if answer not in KEYS:
                continue
            try:
                data.decide(item.id, KEYS[answer], who=who, why="review")
            except AlreadyDecided as error:  # by another reviewer, while this one looked
                console.print(str(error))
                break
            except InputError as error:  # nothing was written: another decision may do
                console.print(str(error))
                continue
            decided += answer != "s"
            break
    console.print(f"{decided} decided by {who}; that was all")
    return problems


def _decision(text: str) -> tuple[int, str]:
    number, _, decision = text.partition("=")
    if not number.isdecimal() or decision not in KEYS.values():
        raise InputError(f"--decide {text}: write ID=DECISION, with one of {', '.join(KEYS.values())}")
    return int(number), decision
