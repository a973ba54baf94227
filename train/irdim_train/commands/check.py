"""irdim-train check."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.wording import number_of
from irdim_train.commands.progress import progress_bar

LISTED = 10  # findings of a severity on the terminal


def command(
    data: Annotated[Path, typer.Argument(help="Data set, or recordings as irdim-train import takes them.")],
    html: Annotated[Path | None, typer.Option(help="Also write a page with pictures and plots.")] = None,
    layout: Annotated[str, typer.Option("--format", help="Layout of recordings; auto recognises it.")] = "auto",
    centres_from: Annotated[int | None, typer.Option(help="Number of the first pixel in centre lists, 0 or 1.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find what is wrong with frames, labels and splits, and what the targets are like.

    Exit code 1 where something would harm training, 2 where nothing can be checked, 0 otherwise.

    Example: irdim-train check data --html check.html
    """
    from irdim.dataset import Dataset
    from irdim.dataset.schema import FILE
    from irdim_train.checking import Subject, check, subjects_of_data, subjects_of_recordings
    from irdim_train.checking.findings import Severity, first_of_each
    from irdim_train.checking.page import sizing_table, summary_table, write_page
    from irdim_train.importing import Options

    if html is not None and html.is_dir():
        raise InputError(f"--html {html}: a folder; name the file, such as {html / 'check.html'}")

    def look(subjects: list[Subject]):  # type: ignore[no-untyped-def]
        with progress_bar("check") as bar:
            task = bar.add_task("check", total=sum(s.length or 0 for s in subjects) or None)
            return check(subjects, lambda name: bar.update(task, advance=1, description=f"check {name}"))

    if (data / FILE).is_file():
        with Dataset.open(data) as dataset:
            checked = look(subjects_of_data(dataset))
    else:
        subjects = subjects_of_recordings([data], layout, Options(centres_from=centres_from))
        if data.is_file() and all(s.trouble for s in subjects):
            raise InputError(subjects[0].trouble)  # the one file that was asked about: nothing can be checked
        checked = look(subjects)
    if html is not None:
        write_page(html, checked, str(data))
    if as_json:
        print(json.dumps({"data": str(data), **checked.to_json()}, allow_nan=False))
        raise typer.Exit(int(checked.harmful))
    console = stdout_console(soft_wrap=True)
    for severity in Severity:
        found = [f for f in checked.findings if f.severity is severity]
        for finding in first_of_each(found, LISTED):
            console.print(f"{severity.value}: {finding.text}")
        if len(found) > LISTED:
            console.print(f"{severity.value}: {len(found) - LISTED} more; --html or --json for all")
    for table in (summary_table(checked), sizing_table(checked)) if checked.seen else ():
        shown = Table(*table.heads)
        for row in table.rows:
            shown.add_row(*map(str, row))
        console.print(shown)
    if checked.seen:
        step, why = checked.frame_step()
        console.print(f"suggested: --frame-step {step} ({why})")
    if checked.harmful:
        console.print("something here would harm training")
    elif checked.seen and not len(checked.column("box")):
        console.print("nothing can be trained on it yet: no target is labelled")
    elif looks := sum(f.severity is Severity.LOOK for f in checked.findings):
        console.print(f"nothing that surely harms training; {number_of(looks, 'finding')} to look at")
    else:
        console.print("nothing that would harm training")
    if html is not None:
        console.print(f"page: {html}")
    raise typer.Exit(int(checked.harmful))
