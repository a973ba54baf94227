"""irdim-train report."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from irdim.console import stdout_console
from irdim.wording import number_of, quoted
from irdim_train.commands.progress import progress_bar


def command(
    data: Annotated[Path, typer.Argument(help="Data set (folder).")] = Path("data"),
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with plots here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the state as JSON.")] = False,
) -> None:
    """Say how the loop goes: per iteration, device and bundle what was seen and suspected, what review confirmed, miss and false-alarm rates
    from the random sample, and whether the input has drifted from the training data.

    Example: irdim-train report data --html loop.html
    """
    from irdim.dataset import Dataset
    from irdim_train.reporting import state_of_loop
    from irdim_train.reporting.page import summary_lines, write_page

    with Dataset.open(data) as opened, progress_bar("report") as bar:
        bar.add_task("report", total=None)
        loop = state_of_loop(opened)
    if html is not None:
        write_page(loop, html, data)
    if as_json:
        print(json.dumps(loop.to_json()))
        return
    console = stdout_console()
    for row in loop.rows:
        table = Table(Column(row.name, no_wrap=True), Column("", overflow="fold"))
        for line in summary_lines(row):
            table.add_row(*line)
        console.print(table)
    if loop.refused:
        print(f"{number_of(len(loop.refused), 'file')} in quarantine ({data / 'quarantine'})")
    if loop.clocks:
        print(f"{number_of(len(loop.clocks), 'log')} of devices whose clock is far off")
    print(f"wrote {html}" if html is not None else f"next: irdim-train report {quoted(data)} --html loop.html")
