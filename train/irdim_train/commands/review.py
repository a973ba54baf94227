"""irdim-train review, in the terminal."""

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from irdim.errors import InputError

if TYPE_CHECKING:
    from irdim.dataset import Dataset, QueueItem

KEYS = {"a": "accept", "r": "reject", "t": "target", "i": "interference", "g": "ignore", "b": "background", "s": "skip"}
SHOWN = 24  # px of the frame that the terminal shows around an item


def command(
    data: Annotated[Path, typer.Argument(help="Data set (folder).")] = Path("data"),
    decide: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=DECISION", help="accept, reject, target, interference, ignore, background or skip; several."),
    ] = None,
    accept: Annotated[
        list[int] | None, typer.Option(metavar="ID", help="Short for --decide ID=accept; several.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who decides; your login name if not set.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only items of this kind (missed, false_alarm, ...).")] = None,
    most: Annotated[int, typer.Option(help="Only so many items, the best scores first; 0: all.")] = 0,
    picture: Annotated[Path | None, typer.Option(metavar="OUT", help="Write a PNG of each listed item here.")] = None,
    ask: Annotated[
        bool | None, typer.Option("--ask/--list", help="Ask item by item, or only list. Default: ask in a terminal.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the items as JSON; asks nothing.")] = False,
) -> None:
    """Show what the queue proposes, best score first, and decide it.

    Example: irdim-train review data --picture looked-at --decide 12=target --decide 15=interference --by anna
    """
    from irdim.dataset import Dataset
    from irdim_train import reviewing

    who = by or _login()
    wanted = [_decision(text) for text in decide or []] + [(number, "accept") for number in accept or []]
    console = Console(highlight=False, soft_wrap=True)
    with Dataset.open(data) as opened:
        with opened.transaction():  # all that was named, or nothing
            for number, decision in wanted:
                opened.decide(number, decision, who=who, why="review")
        items = [i for i in opened.queue_items("open") if kind is None or i.kind == kind]
        listed = items[: most or None]
        pictures = reviewing.write_pictures(opened, listed, picture) if picture else []
        if as_json:
            names = reviewing.sequence_names(opened)
            print(json.dumps([reviewing.as_json(i, names[i.sequence_id].name) for i in listed]))
            return
        if wanted:
            console.print(f"{len(wanted)} decided by {who}", markup=False)
        if pictures:
            console.print(f"{len(pictures)} pictures in {picture}", markup=False)
        terminal = sys.stdin.isatty() and sys.stdout.isatty() and not wanted and picture is None
        if (terminal if ask is None else ask) and listed:
            _ask(console, opened, listed, who)
        else:
            _list(console, opened, listed)
            console.print(f"{len(items)} open", markup=False)


def _list(console: Console, data: "Dataset", items: "list[QueueItem]") -> None:
    from irdim_train.reviewing import sequence_names

    names = sequence_names(data)
    table = Table(
        *(Column(name, no_wrap=True) for name in ("id", "kind", "score")), "sequence, frame", "x, y", "reason"
    )
    for i in items:
        place, of = f"{i.box.x:.1f}, {i.box.y:.1f}", f"{names[i.sequence_id].name}, {i.frame}"
        table.add_row(str(i.id), i.kind, f"{i.score:.3f}", of, place, i.reason)
    console.print(table)


def _ask(console: Console, data: "Dataset", items: "list[QueueItem]", who: str) -> None:
    """Item by item: show it, read one letter, record the decision at once."""
    from irdim_train.reviewing import in_characters, panels, sequence_names

    names = sequence_names(data)
    letters = "  ".join(f"[b]{k}[/b] {name}" for k, name in KEYS.items())
    decided = 0
    for number, item in enumerate(items, 1):
        sequence = names[item.sequence_id]
        console.print(
            f"\n{number} of {len(items)}: {item.kind}, score {item.score:.3f}, proposes {item.box.label}", markup=False
        )
        console.print(
            f"{sequence.name} frame {item.frame}, ({item.box.x:.1f}, {item.box.y:.1f}): {item.reason}", markup=False
        )
        console.print("before, at, after, difference; the place is in the middle")
        console.print(in_characters(panels(data, item, sequence, SHOWN)), no_wrap=True, crop=True)
        while True:
            console.print(f"{letters}  [b]q[/b] quit: ", end="")
            answer = sys.stdin.readline().strip().lower()[:1] or "q"
            if answer == "q":
                console.print(f"{decided} decided by {who}", markup=False)
                return
            if answer in KEYS:
                break
        data.decide(item.id, KEYS[answer], who=who, why="review")
        decided += answer != "s"
    console.print(f"{decided} decided by {who}; that was all", markup=False)


def _decision(text: str) -> tuple[int, str]:
    number, _, decision = text.partition("=")
    if not number.isdecimal() or decision not in KEYS.values():
        raise InputError(f"--decide {text}: write ID=DECISION, with one of {', '.join(KEYS.values())}")
    return int(number), decision


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise InputError("your login name is not known here; say who decides with --by NAME") from None
