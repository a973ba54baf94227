"""irdim-train import."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.wording import number_of, quoted
from irdim_train.commands.progress import progress_bar


def command(
    sources: Annotated[list[Path], typer.Argument(metavar="SRC", help="Sequences, or folders of sequences.")],
    out: Annotated[Path, typer.Option(help="Data set (folder), made if it is not there.")] = Path("data"),
    layout: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, drone-ir, boxes-csv, frames (no labels), masks, stills (masks of single images), centres, coco, coco-video, yolo, "
            "voc, cvat or mot.",
        ),
    ] = "auto",
    origin: Annotated[
        int | None,
        typer.Option(
            help="Number of the first pixel in the label files, if not the layout's own (drone-ir, voc, mot: 1, others 0)."
        ),
    ] = None,
    centres_from: Annotated[
        int | None, typer.Option(help="Number of the first pixel in centre lists, 0 or 1; they never say it.")
    ] = None,
    centre_size: Annotated[float, typer.Option(help="Side of the boxes around listed centres, px.")] = 5.0,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=CLASS",
            help="Class of a label: target, interference or ignore. Else, in CSV files, target; elsewhere names like drone are known.",
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

    Layouts and their rules: docs/data-layouts.md. Without --val and --test, splits are those that the layout gives, or else groups go to
    train, val and test (about 80, 10, 10 %) by the hash of their names.

    Example: irdim-train import recordings --out data --map BIRD=interference --val 'NIGHT_*'
    """
    from irdim_train.importing import Options, import_sequences, plan_import

    console = stdout_console(soft_wrap=True, quiet=as_json)
    with progress_bar("labels") as bar:
        task = bar.add_task("labels", total=None)
        plan = plan_import(
            sources,
            layout=layout,
            options=Options(origin, centres_from, centre_size),
            classes=_pairs(classes or []),
            group=group,
            interval=interval,
            step=step,
            progress=lambda name, of: bar.update(task, advance=1, total=of, description=f"labels {name}"),
        )
    for line in plan.recognised():
        console.print(line)
    for name, label in plan.classes.items():
        console.print(f"  {name} -> {label}")
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
        answer = {"data": str(out), "layouts": plan.layouts(), "recognised": plan.recognised(), "classes": plan.classes}
        print(json.dumps({**answer, **dataclasses.asdict(result)}))
        return
    for note in result.notes:
        console.print(f"note: {note}")
    table = Table("split", "sequences", "frames", "boxes", "left out, there already")
    for split, counts in result.splits.items():
        table.add_row(split, *(str(counts[k]) for k in ("sequences", "frames", "boxes", "there")))
    console.print(table)
    if result.labelled:
        console.print(
            f"{number_of(len(result.labelled), 'sequence')} had no labels yet and took those that are there now"
        )
    elif not result.added:
        console.print("nothing added: all of it was there already")
    labelled = any(plan.labels.values())
    console.print(f"next: irdim-train {'check' if labelled else 'label'} {quoted(out)}")


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, label = text.partition("=")
        if not (name and equals and label):
            raise InputError(f"--map {text}: write NAME=CLASS, e.g. BIRD=interference")
        pairs[name] = label
    return pairs
