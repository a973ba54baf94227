"""irdim-edge keygen: the device's key."""

import json
from pathlib import Path
from typing import Annotated

import typer

from irdim.errors import InputError
from irdim.files import atomic_file
from irdim.signing import generate_key

PUBLIC = ".pub"


def keygen(
    path: Annotated[Path, typer.Argument(help="File of the new private key; the public one is written beside it.")] = (
        Path("device.key")
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make the key that this device signs its field logs with. The private half stays here, mode 600; one that is there is never overwritten.

    Make it as the user that the daemon runs as, who could not read one that is root's: sudo -u irdim before the command.
    Set key = "/var/lib/irdim/device.key" in the configuration, and give the public half to the workstation: irdim-train devices add NAME KEY.

    Example: irdim-edge keygen /var/lib/irdim/device.key
    """
    public = path.with_name(path.name + PUBLIC)
    if public.exists():
        raise InputError(f"{public}: a public key is there already and stays; choose another name")
    key = generate_key(path)
    with atomic_file(public, "w") as file:
        file.write(key + "\n")
    if as_json:
        print(json.dumps({"private": str(path), "public": str(public), "key": key}))
        return
    print(f"private key: {path} (stays on this device)\npublic key:  {key} (also in {public})")
    print(f'next: key = "{path}" in the configuration; on the workstation: irdim-train devices add NAME {key}')
