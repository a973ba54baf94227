"""irdim-train ingest."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from irdim_train.commands.progress import progress_bar


def command(
    url: Annotated[str, typer.Argument(help="Where irdim-edge uploads to: any fsspec URL, or a folder.")],
    data: Annotated[Path, typer.Option(help="Data set (folder).")] = Path("data"),
    known_hosts: Annotated[
        Path | None, typer.Option(help="Host keys of SFTP servers; ~/.ssh/known_hosts if not set.")
    ] = None,
    identity: Annotated[Path | None, typer.Option(help="SSH key file for SFTP.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Take field logs into the data set and its queue: verified, each once, however often this runs.

    What fails the checks goes to DATA/quarantine with the reason. Nothing at the URL is changed.

    Example: irdim-train ingest sftp://irdim@depot/logs --data data
    """
    from irdim.dataset import Dataset
    from irdim_train.ingesting import ingest

    with Dataset.open(data) as opened, progress_bar("ingest") as bar:
        task = bar.add_task("ingest", total=None)
        result = ingest(
            opened,
            url,
            known_hosts=known_hosts,
            identity=identity,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        waiting = len(opened.queue_items("open"))
    if as_json:
        print(json.dumps({**asdict(result), "open_items": waiting}))
        return
    console = Console(highlight=False, soft_wrap=True)
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(result.kinds.items())) or "no new queue items"
    console.print(f"{len(result.added)} field logs ingested ({kinds}), {result.there} were there already", markup=False)
    for name, reason in result.quarantined.items():
        console.print(f"quarantined: {name}: {reason}", markup=False)
    console.print(f"{waiting} items wait; next: irdim-train review {data}", markup=False)
