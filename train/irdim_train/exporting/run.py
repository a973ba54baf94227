"""A data set written for other tools, whole or not at all."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from irdim.dataset import SPLITS, Dataset, Sequence
from irdim.errors import InputError
from irdim.files import write_json
from irdim_train.exporting import coco, cvat, voc, yolo
from irdim_train.exporting.frames import write_frames
from irdim_train.exporting.labelled import Labelled
from irdim_train.staging import staged_folder

_WRITERS: dict[str, ModuleType] = {"coco": coco, "yolo": yolo, "voc": voc, "cvat": cvat}
FORMATS = tuple(_WRITERS)
_OWN = ("images", "labels", "data.yaml", "annotations", "annotations.xml", "JPEGImages", "Annotations", "ImageSets")
_DESCRIPTION, _MADE_AS, _VERSION = "export.json", "irdim-annotations", 1
_NO_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")


def export_data(
    data: Dataset,
    out: Path,
    layout: str,
    *,
    split: str | None = None,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Write frames and live boxes of the data set, or of one split, to the folder `out`. One that an export of this data set in this layout wrote
    is replaced; one of another only where `fresh` is set.

    layout: one of FORMATS. Returns what export.json says: by split the sequences, frames and boxes. `progress` is called with the
    sequence's name for every frame. Raises InputError where there is nothing to export.
    """
    if layout not in _WRITERS:
        raise InputError(f"--format {layout}: choose one of {', '.join(FORMATS)}")
    sequences = data.sequences(split)
    if not sequences:
        raise InputError(
            f"{data.path}: no sequence{f' in split {split}' if split else ''} to export; import some first"
        )
    for sequence in sequences:
        if _NO_XML.search(sequence.name):
            raise InputError(f"{sequence.name!r}: a name that other tools cannot read; import it under another one")
    if Path(out).resolve().is_relative_to(data.path.resolve()):
        raise InputError(f"{out}: lies in the data set; choose another --out")
    if not fresh:
        _check_replaced(out, {"layout": layout, "data": str(data.path.absolute())})
    writer = _WRITERS[layout]
    with staged_folder(out, _DESCRIPTION, _MADE_AS, _OWN) as folder:
        labelled = [Labelled(sequence, data.boxes(sequence)) for sequence in sequences]
        for sequence in sequences:
            write_frames(data, sequence, folder / writer.image_folder(sequence), progress)
        writer.write_labels(folder, labelled)
        made = {
            "format": _MADE_AS,
            "version": _VERSION,
            "layout": layout,
            "data": str(data.path.absolute()),
            "iteration": data.current_iteration(),
            "splits": {name: _counts([one for one in labelled if one.sequence.split == name]) for name in SPLITS},
            "sequences": [_entry(sequence) for sequence in sequences],
        }
        write_json(folder / _DESCRIPTION, made)
    return made


def _check_replaced(out: Path, wanted: dict[str, str]) -> None:
    """Raises InputError where an export in another layout, or of another data set, is there."""
    try:
        there = json.loads((out / _DESCRIPTION).read_text())
        other = [f"{key} {there[key]}" for key in wanted if there["format"] == _MADE_AS and there[key] != wanted[key]]
    except (OSError, ValueError, KeyError, TypeError):
        return  # not written by an export: staged_folder has the word
    if other:
        raise InputError(
            f"{out}: is there and was exported with {', '.join(other)}; choose another --out, or replace it with --fresh"
        )


def _counts(labelled: list[Labelled]) -> dict[str, int]:
    return {
        "sequences": len(labelled),
        "frames": sum(one.sequence.length for one in labelled),
        "boxes": sum(len(of) for one in labelled for of in one.boxes.values()),
    }


def _entry(sequence: Sequence) -> dict[str, Any]:
    return {
        "name": sequence.name,
        "split": sequence.split,
        "group": sequence.group,
        "frames": sequence.length,
        "interval": sequence.interval,
    }
