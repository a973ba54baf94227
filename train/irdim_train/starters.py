"""The runs that training begins with unless told otherwise: networks that learnt from generated sequences alone (tools/make_starter.py)."""

from importlib.resources import files
from pathlib import Path

from irdim.errors import InputError
from irdim_train.runs import DESCRIPTION, read_run

STARTER, RANDOM = "starter", "random"  # what --from takes beside a run


def starters_folder() -> Path:
    """Where they lie in the package, one folder a network."""
    return Path(str(files("irdim_train"))) / "starters"


def find_starter(backbone: str, width: float, kind: str) -> Path | None:
    """The starter of a network, None where there is none. kind: of the input."""
    for found in sorted(starters_folder().glob(f"*/{DESCRIPTION}")):
        config = read_run(found.parent)["config"]
        if (config["backbone"], config["width"], config["input"]) == (backbone, width, kind):
            return found.parent
    return None


def starter(backbone: str, width: float, kind: str) -> Path:
    """As find_starter. Raises InputError where there is none."""
    found = find_starter(backbone, width, kind)
    if found is None:
        raise InputError(
            f"--from {STARTER}: none ships for {backbone} of width {width:g} with {kind}; leave it out to begin at random"
        )
    return found


def start_of(asked: str | None, backbone: str, width: float, kind: str) -> str | None:
    """FitConfig.start of what --from was given: a run, STARTER, RANDOM, or nothing, which is the starter where there is one."""
    if asked is None:
        return STARTER if find_starter(backbone, width, kind) else None
    if asked == RANDOM:
        return None
    return asked if asked == STARTER else str(Path(asked).resolve())
