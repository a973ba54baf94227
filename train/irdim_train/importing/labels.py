"""Labels as their files say them, and the CSV files with the columns frame, label, x, y, width, height (x, y: top-left corner, pixels)."""

import csv
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from irdim.boxes import IGNORE, INTERFERENCE, LABELS, TARGET, Box
from irdim.errors import InputError
from irdim.sources.limits import check_file_size
from irdim_train.importing.readers import LARGEST_TEXT

TARGETS = (  # names that are targets in any layout, without spaces, dashes and underscores, in any case
    *("target", "targets", "smalltarget", "drone", "uav", "aircraft", "airplane", "aeroplane", "plane", "helicopter"),
    "missile",
)
COLUMNS = ("frame", "label", "x", "y", "width", "height")
MISSPELT = 0.75  # likeness (difflib) from which a name is taken for a misspelt one
_ROUNDING = 1e-6  # px, of centres that were written as edges or as parts of the image


@dataclass(frozen=True, slots=True)
class Label:
    """One entry (`unit` and its number, `row`) of a label file. `box`: centre in our coordinates (pixel (0, 0) covers 0..1), the name as its label."""

    path: Path
    row: int
    frame: int
    box: Box
    unit: str = "row"

    def within(self, shape: tuple[int, int]) -> "Label":
        """The label with a centre that only rounding has put on or over the border of the frame (H, W) moved back into it."""
        x, y = (_back(value, side) for value, side in ((self.box.x, shape[1]), (self.box.y, shape[0])))
        return self if (x, y) == (self.box.x, self.box.y) else replace(self, box=replace(self.box, x=x, y=y))

    def check(self, shape: tuple[int, int], length: int | None) -> None:
        """Raises InputError, naming file and entry, where the frame is not there or the centre lies outside (H, W)."""
        if length is not None and self.frame >= length:
            raise InputError(
                f"{self.path}, {self.unit} {self.row}: frame {self.frame} is not there, the sequence ends with {length - 1}; "
                f"correct or remove the {self.unit}"
            )
        if not (0 <= self.box.x < shape[1] and 0 <= self.box.y < shape[0]):
            raise InputError(
                f"{self.path}, {self.unit} {self.row}: the centre ({self.box.x:g}, {self.box.y:g}) lies outside the frame "
                f"({shape[1]}x{shape[0]}); correct or remove the {self.unit}, or see --origin"
            )


def read_labels(path: Path, origin: int) -> list[Label]:
    """All labels of a file; `origin` (0 or 1): number of its first pixel. Rows without place and size mean no target.

    Centre: x - origin + width / 2. Rows are counted as in an editor, the header being row 1.
    Raises InputError, naming file and row.
    """
    labels = []
    try:
        check_file_size(path, LARGEST_TEXT)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            if len(header) == 1 and ";" in header[0]:
                raise InputError(f"{path}: its columns are separated by ';'; save it with commas")
            if missing := [name for name in COLUMNS if name not in header and name != "label"]:
                what = ", ".join(f"'{name}'" for name in missing)
                raise InputError(
                    f"{path}: no column {what}; a label file has the columns {', '.join(COLUMNS)} (without label, all are targets)"
                )
            for cells in reader:
                cells = {"label": TARGET, **cells} if "label" not in header else cells
                label = _label(path, reader.line_num, {k: (cells[k] or "").strip() for k in COLUMNS}, origin)
                if label:
                    labels.append(label)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); save it as UTF-8 text") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    return labels


def classes_of(names: Mapping[str, int] | Iterable[str], given: Mapping[str, str], own: bool = True) -> dict[str, str]:
    """Class of each name: as `given`, else by the name. names: how often each occurs, where that is known.

    In our own layouts (`own`) every name is a target, but those that say interference or ignore, or nearly so: these are misspelt. In those of other tools,
    which may hold anything, a name has to be one of TARGETS. Raises InputError where the class of a name is not known.
    """
    found = sorted(set(names))
    for name, label in given.items():
        if label not in LABELS:
            raise InputError(f"--map {name}={label}: choose one of {', '.join(LABELS)}")
        if name not in found:
            raise InputError(f"--map {name}={label}: no label of that name; there are {', '.join(found) or 'none'}")
    classes = {name: given.get(name) or _class_of(name, own) for name in found}
    if unknown := [name for name in found if not classes[name]]:
        there = ", ".join(f"{name} ({names[name]})" if isinstance(names, Mapping) else name for name in found)
        raise InputError(
            f"no class is known for the label{'s' * (len(unknown) > 1)} {', '.join(unknown)} (found: {there}); "
            f"say what it is, e.g. --map '{unknown[0]}=target' (or interference, or ignore)"
        )
    return classes


def _back(value: float, side: int) -> float:
    if -_ROUNDING < value < 0:
        return 0.0
    return math.nextafter(side, 0) if side <= value < side + _ROUNDING else value


def _class_of(name: str, own: bool) -> str:
    plain = name.lower()
    if plain in (INTERFERENCE, IGNORE):
        return plain
    misspelt = difflib.get_close_matches(plain, (INTERFERENCE, IGNORE), cutoff=MISSPELT)
    return TARGET if is_target(name) or (own and not misspelt) else ""


def is_target(name: str) -> bool:
    """Whether a label's name says that it is a target, in any layout."""
    return re.sub(r"[ _-]", "", name.lower()) in TARGETS


def _whole(text: str) -> int:
    """A whole number, also one that went through a table of floats. Raises ValueError where it is none."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _label(path: Path, row: int, cells: dict[str, str], origin: int) -> Label | None:
    place = [cells[k] for k in COLUMNS[2:]]
    if all(text.lower() in ("", "nan") for text in place):
        return None
    try:
        frame = _whole(cells["frame"])
    except ValueError:
        raise InputError(
            f"{path}, row {row}: '{cells['frame']}' is no frame number; correct or remove the row"
        ) from None
    try:
        x, y, w, h = (float(text) for text in place)
    except ValueError:
        raise InputError(
            f"{path}, row {row}: x, y, width and height must be numbers; correct or remove the row"
        ) from None
    if frame < 0 or not cells["label"]:
        what = f"frame {frame} is below 0" if frame < 0 else "no label"
        raise InputError(f"{path}, row {row}: {what}; correct or remove the row")
    if not (math.isfinite(x + y + w + h) and w > 0 and h > 0):
        raise InputError(f"{path}, row {row}: a box needs a width and a height above 0; correct or remove the row")
    return Label(path, row, frame, Box(x - origin + w / 2, y - origin + h / 2, w, h, cells["label"]))
