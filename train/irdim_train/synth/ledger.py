"""The ledger of planted label errors: what was spoilt, how, and what the truth is. Written beside generated data, never read by training.
Format: docs/formats.md."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from irdim.boxes import LABELS, Box
from irdim.dataset.records import WRONG_LABELS
from irdim.errors import InputError
from irdim.files import read_json, write_json

FORMAT, VERSION, FILE = "irdim-ledger", 1, "ledger.json"
KINDS = WRONG_LABELS


@dataclass(frozen=True)
class PlantedError:
    """One wrong label. sequence: its name, '' in a patch file; frame: index of the frame, or of the patch (boxes are in its coordinates);
    true: the right box, None where there is nothing; written: the box that the labels have instead, None where they have none."""

    sequence: str
    frame: int
    kind: str
    true: Box | None
    written: Box | None


def write_ledger(folder: Path, errors: Iterable[PlantedError]) -> None:
    """Write FILE into a folder."""
    write_json(folder / FILE, {"format": FORMAT, "version": VERSION, "errors": [asdict(e) for e in errors]})


def read_ledger(path: Path) -> list[PlantedError]:
    """All planted errors of a generated sequence, a folder of them, or a patch file, in the order of their sequences and frames.

    Raises InputError where there is no ledger, or one that is not as written.
    """
    path = Path(path)
    files = [path / FILE] if (path / FILE).is_file() else sorted(path.glob(f"*/{FILE}"))
    if not files:
        raise InputError(f"{path}: no {FILE} here; irdim-train synth --label-errors RATE writes one")
    return [error for file in files for error in _read(file)]


def _read(file: Path) -> list[PlantedError]:
    value = read_json(file, "ledger of planted label errors")
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
        raise InputError(f"{file}: not a ledger of version {VERSION}; generate the data again")
    try:
        return [_entry(entry) for entry in value["errors"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: damaged ({error!r}); generate the data again") from None


def _entry(entry: dict[str, Any]) -> PlantedError:
    if entry["kind"] not in KINDS:
        raise ValueError(entry["kind"])
    true, written = (_box(entry[name]) for name in ("true", "written"))
    return PlantedError(str(entry["sequence"]), int(entry["frame"]), entry["kind"], true, written)


def _box(value: dict[str, Any] | None) -> Box | None:
    if value is None:
        return None
    if value["label"] not in LABELS:
        raise ValueError(value["label"])
    x, y, w, h = (float(value[name]) for name in ("x", "y", "w", "h"))
    return Box(x, y, w, h, value["label"])
