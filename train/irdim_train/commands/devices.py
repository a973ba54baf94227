"""irdim-train devices."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from irdim.wording import quoted
from irdim_train.login import login_name

command = typer.Typer(
    no_args_is_help=True, help="Say whose field logs a data set takes: ingest refuses all others once one is known."
)
By = Annotated[str | None, typer.Option(help="Who says so; your login name if not set.")]
Data = Annotated[Path, typer.Option(help="Data set (folder).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@command.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the device, in every log of it.")],
    key: Annotated[
        str, typer.Argument(metavar="KEY|FILE", help="Its public key, or the file of it (irdim-edge keygen).")
    ],
    data: Data = Path("data"),
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Trust a device: take field logs that its key has signed.

    From the first device on, ingest refuses what is not signed by a known one. Compare the key with what irdim-edge keygen printed there.

    Example: irdim-train devices add mast-3 device.key.pub --data data
    """
    from irdim.dataset import Dataset
    from irdim.signing import read_public_key

    public = read_public_key(key)
    with Dataset.open(data) as opened:
        new = opened.add_device(name, public, who=by or login_name())
    if as_json:
        print(json.dumps({"name": name, "key": public, "new": new}))
        return
    print(
        f"{name} {'is known now' if new else 'was known already'}: {public}\nnext: irdim-train ingest URL --data {quoted(data)}"
    )


@command.command("list")
def list_(data: Data = Path("data"), as_json: AsJson = False) -> None:
    """List the known devices.

    Example: irdim-train devices list --data data
    """
    from irdim.dataset import Dataset

    with Dataset.open(data) as opened:
        known, closed = opened.devices(), opened.takes_known_devices_only()
    if as_json:
        print(json.dumps([asdict(device) for device in known]))
        return
    if not known:
        print(
            f"no known device: field logs are taken from {'nobody' if closed else 'anybody'}; next: irdim-train devices add NAME KEY"
        )
        return
    for device in known:  # a key is to be compared, so it stays in one piece
        print(f"{device.name:<16} {device.key}  {device.who}, {device.at}")


@command.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of a known device.")],
    data: Data = Path("data"),
    by: By = None,
) -> None:
    """Take no more logs of a device, one that was stolen for instance. What was ingested stays, with its name.

    Example: irdim-train devices remove mast-3 --data data
    """
    from irdim.dataset import Dataset

    with Dataset.open(data) as opened:
        opened.remove_device(name, who=by or login_name())
        left = len(opened.devices())
    print(f"{name} is known no more; {left} devices are" + ("" if left else ": field logs are taken from nobody now"))
