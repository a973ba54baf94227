"""irdim-train export."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from irdim.console import stdout_console
from irdim.wording import quoted
from irdim_train.commands.progress import progress_bar


def command(
    data: Annotated[Path, typer.Argument(help="Data set (folder).")],
    out: Annotated[
        Path, typer.Option(help="Folder to write. An earlier export of the same data set and layout is replaced.")
    ],
    layout: Annotated[str, typer.Option("--format", help="coco (COCO-video), yolo, voc or cvat.")] = "coco",
    split: Annotated[str | None, typer.Option(help="Only train, val or test.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace an export that is there, whatever it is of.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write frames (lossless PNG) and labels in the layout of another tool; irdim-train import reads them back as they were.

    Left behind: scenes (--group) and the history of labels. Details: docs/data-layouts.md.

    Example: irdim-train export data --format yolo --out yolo
    """
    from irdim.dataset import Dataset
    from irdim_train.exporting import export_data

    with Dataset.open(data) as dataset, progress_bar("export") as bar:
        task = bar.add_task("export", total=sum(s.length for s in dataset.sequences(split)))
        result = export_data(
            dataset,
            out,
            layout,
            split=split,
            fresh=fresh,
            progress=lambda name: bar.update(task, advance=1, description=f"export {name}"),
        )
    if as_json:
        print(json.dumps({"out": str(out), "layout": layout, "splits": result["splits"]}))
        return
    table = Table("split", "sequences", "frames", "boxes")
    for name, counts in result["splits"].items():
        table.add_row(name, *(str(counts[k]) for k in ("sequences", "frames", "boxes")))
    stdout_console().print(table)
    stdout_console(soft_wrap=True).print(f"back again: irdim-train import {quoted(out)} --out DATA")
