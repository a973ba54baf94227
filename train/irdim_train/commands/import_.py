"""irdim-train import."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from irdim.errors import InputError
from irdim_train.commands.progress import progress_bar

_LAYOUTS = {
    "drone-ir": "clips with NAME_LABELS.csv",
    "boxes-csv": "sequences with boxes.csv",
    "frames": "sequences without labels",
}


def command(
    sources: Annotated[list[Path], typer.Argument(metavar="SRC", help="Sequences, or folders of sequences.")],
    out: Annotated[Path, typer.Option(help="Data set (folder), made if it is not there.")] = Path("data"),
    layout: Annotated[str, typer.Option("--format", help="auto, drone-ir, boxes-csv, or frames (no labels).")] = "auto",
    origin: Annotated[
        int | None, typer.Option(help="Number of the first pixel in the label files. drone-ir: 1, boxes-csv: 0.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="NAME=CLASS", help="Class of a label: target, interference or ignore. Else: target."
        ),
    ] = None,
    val: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Names that go to val; the rest trains.")
    ] = None,
    test: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Names that go to test.")] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Its first match group in a name is the scene, which stays in one split."),
    ] = None,
    interval: Annotated[
        float | None, typer.Option(help="Seconds between recorded frames, instead of the file's.")
    ] = None,
    step: Annotated[int, typer.Option(help="Keep every Nth frame; the interval grows with it.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Bring recorded sequences and their boxes into a data set. What is there already is left as it is.

    Without --val and --test, groups go to train, val and test (about 80, 10, 10 %) by the hash of their names.

    Example: irdim-train import recordings --out data --map BIRD=interference --val 'NIGHT_*'
    """
    from irdim_train.importing import import_sequences, plan_import

    console = Console(highlight=False, quiet=as_json, soft_wrap=True)
    plan = plan_import(
        sources, layout=layout, origin=origin, classes=_pairs(classes or []), group=group, interval=interval, step=step
    )
    for kind in plan.layouts():
        boxes = "" if kind["origin"] is None else f", boxes {kind['origin']}-based"
        console.print(f"{kind['layout']}: {kind['sequences']} {_LAYOUTS[kind['layout']]}{boxes}", markup=False)
    for name, label in plan.classes.items():
        console.print(f"  {name} -> {label}", markup=False)
    with progress_bar("import") as bar:
        task = bar.add_task("import", total=plan.frames or None)
        result = import_sequences(
            plan,
            out,
            val=val or [],
            test=test or [],
            progress=lambda name: bar.update(task, advance=1, description=f"import {name}"),
        )
    if as_json:
        answer = {"data": str(out), "layouts": plan.layouts(), "classes": plan.classes, **dataclasses.asdict(result)}
        print(json.dumps(answer))
        return
    for note in result.notes:
        console.print(f"note: {note}", markup=False)
    table = Table("split", "sequences", "frames", "boxes", "left out, there already")
    for split, counts in result.splits.items():
        table.add_row(split, *(str(counts[k]) for k in ("sequences", "frames", "boxes", "there")))
    console.print(table)
    if not result.added:
        console.print("nothing added: all of it was there already")
    console.print(f"next: irdim-train crop {out}", markup=False)


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, label = text.partition("=")
        if not (name and equals and label):
            raise InputError(f"--map {text}: write NAME=CLASS, e.g. BIRD=interference")
        pairs[name] = label
    return pairs
