"""Sequences of a data set: adding, finding, reading."""

import re
import sqlite3
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as ListOf
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import Box
from irdim.dataset import boxes as _boxes
from irdim.dataset import schema
from irdim.dataset.frames import Summary, finish_file, read_through, remove_leftovers, temporary_file
from irdim.dataset.records import SPLITS, Sequence
from irdim.dataset.store import NotWritable, Store
from irdim.errors import InputError
from irdim.sources import Frame, FrameSource
from irdim.sources.clock import check_interval
from irdim.sources.stack import map_stack

_COLUMNS = "id, name, split, scene, length, height, width, dtype, interval, source, digest, iteration"
_NAME = re.compile(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,199}")


@dataclass(frozen=True)
class Row:
    """What is given for a sequence besides frames and boxes."""

    name: str
    split: str
    group: str
    source: str
    who: str
    why: str
    iteration: int
    interval: float | None


def find(store: Store, *, split: str | None = None) -> list[Sequence]:
    if split is not None and split not in SPLITS:
        raise InputError(f"split '{split}': choose one of {', '.join(SPLITS)}")
    where, values = (" WHERE split = ?", (split,)) if split else ("", ())
    return [Sequence(*row) for row in store.rows(f"SELECT {_COLUMNS} FROM sequences{where} ORDER BY name", values)]


def named(store: Store, name: str) -> Sequence:
    found = store.rows(f"SELECT {_COLUMNS} FROM sequences WHERE name = ?", (name,))
    if not found:
        raise InputError(f"{store.folder}: no sequence '{name}' in this data set")
    return Sequence(*found[0])


def with_digest(store: Store, digest: str) -> Sequence | None:
    found = store.rows(f"SELECT {_COLUMNS} FROM sequences WHERE digest = ?", (digest,))
    return Sequence(*found[0]) if found else None


def frames(store: Store, sequence: Sequence) -> np.ndarray:
    path = file_of(store, sequence.name)
    if not path.is_file():
        raise InputError(f"{path}: the frames of sequence '{sequence.name}' are gone; put the file back")
    array = map_stack(path)
    if array.shape != (sequence.length, sequence.height, sequence.width) or array.dtype.name != sequence.dtype:
        raise InputError(f"{path}: {array.dtype} {array.shape} is not what was imported; put the file back")
    return array


def times(store: Store, sequence: Sequence) -> np.ndarray:
    found = store.rows("SELECT times FROM sequences WHERE id = ?", (sequence.id,))
    if not found:
        raise InputError(f"{store.folder}: no sequence '{sequence.name}' in this data set")
    return np.frombuffer(found[0][0], "<f8").astype(np.float64)


def file_of(store: Store, name: str) -> Path:
    return store.frames_folder / f"{name}.npy"


def add(
    store: Store, row: Row, given: Iterable[Frame] | FrameSource, boxes: Mapping[int, ListOf[Box]]
) -> Sequence | None:
    if not _NAME.fullmatch(row.name):
        raise InputError(
            f"sequence name {row.name!r}: it names a file, so no slashes, no leading dot, 1 to 200 characters"
        )
    if row.split not in SPLITS:
        raise InputError(f"{row.name}: split '{row.split}'; choose one of {', '.join(SPLITS)}")
    if row.interval is None and isinstance(given, FrameSource):
        row = Row(**{**vars(row), "interval": given.interval})
    check_interval(row.interval)
    if store.rows("SELECT 1 FROM sequences WHERE name = ?", (row.name,)):  # nothing to write: only compare
        _there(store, row, read_through(row.name, given, None))
        return None
    try:
        return _write(store, row, given, boxes)
    except OSError as error:
        raise NotWritable(f"{store.folder}: {row.name} cannot be written ({error.strerror}); check the disk") from None


def check_splits(store: Store) -> None:
    query = "SELECT scene, min(split), max(split) FROM sequences GROUP BY 1 HAVING min(split) <> max(split) ORDER BY 1"
    for group, one, other in store.rows(query):
        raise InputError(
            f"{store.folder}: group '{group}' has sequences in '{one}' and '{other}'; import them into one split"
        )


def _write(
    store: Store, row: Row, given: Iterable[Frame] | FrameSource, boxes: Mapping[int, ListOf[Box]]
) -> Sequence | None:
    store.frames_folder.mkdir(exist_ok=True)
    with store.transaction():
        remove_leftovers(store.frames_folder, {name for (name,) in store.rows("SELECT name FROM sequences")})
    with temporary_file(store.frames_folder, store.transaction) as (file, path):
        summary = read_through(row.name, given, file)
        for frame, of_frame in boxes.items():
            for box in of_frame:
                _boxes.check(row.name, (summary.length, summary.height, summary.width), frame, box)
        finish_file(file)
        path.chmod(0o644)
        with store.transaction():
            if _there(store, row, summary):
                return None
            store.place(path, file_of(store, row.name))
            return _insert(store, row, summary, boxes)


def _there(store: Store, row: Row, summary: Summary) -> bool:
    """Whether the same frames are in the data set. Raises InputError where the name is, with others."""
    if store.rows("SELECT 1 FROM sequences WHERE digest = ?", (summary.digest,)):
        return True
    if store.rows("SELECT 1 FROM sequences WHERE name = ?", (row.name,)):
        raise InputError(f"{row.name}: the data set has a sequence of this name with other frames; rename the new one")
    return False


def _insert(store: Store, row: Row, summary: Summary, boxes: Mapping[int, ListOf[Box]]) -> Sequence:
    values: dict[str, Any] = {
        **vars(row),
        **vars(summary),
        "scene": row.group,
        "times": summary.times.tobytes(),
        "at": schema.now(),
    }
    del values["group"]
    try:
        store.insert("sequences", **values)
    except sqlite3.IntegrityError as error:
        raise InputError(f"{row.name}: cannot be stored in iteration {row.iteration} ({error})") from None
    sequence = named(store, row.name)
    for frame in sorted(boxes):
        for box in boxes[frame]:
            _boxes.insert(store, sequence.id, frame, box, who=row.who, why=row.why, iteration=row.iteration)
    return sequence
