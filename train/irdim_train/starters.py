"""The runs that training begins with unless told otherwise: networks that learnt from generated sequences alone (tools/make_starter.py)."""

from collections.abc import Set
from importlib.resources import files
from pathlib import Path
from typing import Any

from irdim.errors import InputError
from irdim_train.runs import DESCRIPTION, PRESETS, read_run

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


def start_run(start: str, backbone: str, width: float, kind: str) -> Path:
    """The run that FitConfig.start names. Raises InputError where it is none, or of another network."""
    run = starter(backbone, width, kind) if start == STARTER else Path(start)
    there = read_run(run)["config"]
    for what, own, here in (
        ("backbone", there["backbone"], backbone),
        ("width", there["width"], width),
        ("input", there["input"], kind),
    ):
        if own != here:
            raise InputError(f"{run}: its {what} is {own}, not {here}; only the same network can go on")
    return run


def begin_with(asked: str | None, network: dict[str, Any], own: Set[str], preset: str | None = None) -> dict[str, Any]:
    """Options of FitConfig (backbone, width, input, start) of what --from was given: a run, STARTER, RANDOM, or nothing, which is the starter where there
    is one. network: backbone, width and input; a preset and a run bring their own, but for those in `own`. Raises InputError as `start_run`."""
    if preset is not None and preset not in PRESETS:
        raise InputError(f"--preset {preset}: one of {', '.join(PRESETS)}")
    brought = PRESETS[preset] if preset else {}
    network, own = {**network, **{key: value for key, value in brought.items() if key not in own}}, own | brought.keys()
    if asked == RANDOM:
        return {**network, "start": None}
    if asked not in (None, STARTER):
        there = read_run(Path(asked))["config"]
        network = {key: value if key in own else there[key] for key, value in network.items()}
        asked = str(Path(asked).resolve())
    which = (network["backbone"], network["width"], network["input"])
    if asked is None:
        return {**network, "start": STARTER if find_starter(*which) else None}
    start_run(asked, *which)
    return {**network, "start": asked}
