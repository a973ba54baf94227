"""irdim-train ingest."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.wording import number_of, quoted
from irdim_train.commands.progress import progress_bar


def command(
    url: Annotated[str, typer.Argument(help="Where irdim-edge uploads to: any fsspec URL, or a folder.")],
    data: Annotated[Path, typer.Option(help="Data set (folder).")] = Path("data"),
    require_signature: Annotated[
        bool, typer.Option("--require-signature", help="Take logs of known devices alone, even while none is known.")
    ] = False,
    known_hosts: Annotated[
        Path | None, typer.Option(help="Host keys of SFTP servers; ~/.ssh/known_hosts if not set.")
    ] = None,
    identity: Annotated[Path | None, typer.Option(help="SSH key file for SFTP.")] = None,
    options: Annotated[
        Path | None, typer.Option(help="JSON file (chmod 600) of fsspec storage options, such as an S3 key.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Take field logs into the data set and its queue: verified, each once, however often this runs.

    Once a device is known (irdim-train devices add), only logs signed by known devices are taken. What fails the checks goes to
    DATA/quarantine with the reason. Nothing at the URL is changed.

    Example: irdim-train ingest sftp://irdim@depot/logs --data data
    """
    from irdim.dataset import Dataset
    from irdim.remote import read_options
    from irdim_train.ingesting import ingest

    with Dataset.open(data) as opened, progress_bar("ingest") as bar:
        task = bar.add_task("ingest", total=None)
        result = ingest(
            opened,
            url,
            require_signature=require_signature,
            known_hosts=known_hosts,
            identity=identity,
            options=read_options(options) if options else None,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        waiting, closed = len(opened.queue_items("open")), opened.takes_known_devices_only()
    if as_json:
        print(json.dumps({**asdict(result), "open_items": waiting}))
    else:
        console = stdout_console(soft_wrap=True)
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(result.kinds.items())) or "no new queue items"
        replays = f", {result.replayed} in another file" if result.replayed else ""
        again = f", {result.again} of what is asked already" if result.again else ""
        tallies = f" and {number_of(result.tallies, 'tally', 'tallies')}" if result.tallies else ""
        logs = len(result.added) - result.tallies
        lines = [
            f"{number_of(logs, 'field log')}{tallies} ingested ({kinds}{again}), {result.there} were there already{replays}"
        ]
        lines += [f"clock: {name}: {text}" for name, text in result.clocks.items()]
        before = result.quarantined_before
        lines += [f"quarantined: {n}: {reason}" for n, reason in result.quarantined.items() if n not in before]
        lines += [f"{len(before)} that an earlier run quarantined are still there"] if before else []
        if result.unsigned and not closed:
            lines.append(
                f"{result.unsigned} by no known device: anybody may have written them; irdim-train devices add"
            )
        lines += [
            f"{n} of recordings that the data set has in {split}: they go there too, and are scored, not learnt from"
            for split, n in sorted(result.kept_back.items())
        ]
        lines.append(f"{number_of(waiting, 'open question')}; next: irdim-train review {quoted(data)}")
        for line in lines:
            console.print(line)
    if result.failed:
        name, reason = next(iter(result.failed.items()))
        raise InputError(
            f"{number_of(len(result.failed), 'file')} could not be fetched ({name}: {reason}); run it again"
        )
