"""The patch file: stacks cut from sequences, in one array that only grows, and two tables. Format: docs/formats.md.

PATCHES/patches.json   version, size, frame step, registration, data set, counts; the other files count as far as it says
PATCHES/stacks.npy     (n, 4, S, S) uint8 or uint16, newest first, older frames moved by whole pixels
PATCHES/table.npy      (m,) TABLE: where each was cut, what is left of its shifts, noise scales of the whole frame; a stack's last row counts
PATCHES/boxes.npy      (k,) BOXES: the boxes in them, patch coordinates
"""

import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irdim.differencing import STACK, InputSpec
from irdim.errors import InputError
from irdim.files import read_json
from irdim.npy import read_layout, read_rows

FORMAT, VERSION = "irdim-patches", 2
DESCRIPTION, STACKS_FILE, TABLE_FILE, BOXES_FILE = "patches.json", "stacks.npy", "table.npy", "boxes.npy"

TABLE = np.dtype(
    [
        ("sequence", "<i4"),  # the data set's id
        ("frame", "<i4"),  # index of the newest frame
        ("top", "<i4"),  # row of the patch's first pixel in the newest frame
        ("left", "<i4"),
        ("stack", "<i4"),  # index into stacks.npy
        ("iteration", "<i4"),  # of the data set, when the row was written
        ("live", "u1"),  # 0: from here on the stack is retired
        ("split", "u1"),  # index into SPLITS
        ("hard", "u1"),  # 1: background chosen for its structure
        ("shift", "<f4", (3, 2)),  # what is left of each older frame's (dy, dx), -0.5..0.5 px
        ("sigma_difference", "<f4", (3,)),  # counts, over the whole frame
        ("sigma_frame", "<f4", (4,)),  # counts, over the whole frame, after the high-pass
    ]
)
BOXES = np.dtype(
    [
        ("patch", "<i4"),  # row of the table
        ("x", "<f4"),
        ("y", "<f4"),
        ("w", "<f4"),
        ("h", "<f4"),
        ("label", "u1"),  # index into irdim.boxes.LABELS
        ("box", "<i4"),  # the data set's id of the box
    ]
)
SPLITS = ("train", "val")


class Stacks:
    """The pixels of the live patches, (N, 4, S, S), on disk until they are indexed by patch: an int, a slice or an array of them.

    They are read, not mapped: pages of a map would count as this process's memory, and a file cut short would end it with a bus error.
    """

    def __init__(self, path: Path, places: np.ndarray) -> None:
        """places: (N,) index of each in the file. Raises InputError where that is no such file."""
        layout = read_layout(path)
        if len(layout.shape) != 4 or layout.shape[1] != STACK or layout.dtype not in (np.uint8, np.uint16):
            raise InputError(f"{path}: {layout.dtype} of shape {layout.shape} are no stacks")
        if len(places) and not 0 <= places.min() <= places.max() < layout.shape[0]:
            raise InputError(f"{path}: {layout.shape[0]} stacks are fewer than the table names")
        self.path, self.dtype, self.shape = path, layout.dtype, (len(places), *layout.shape[1:])
        self._each = layout.row_bytes
        self._offsets = layout.offset + places.astype(np.int64) * self._each
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, patches: int | slice | np.ndarray) -> np.ndarray:
        offsets = self._offsets[patches]
        out = np.empty((*offsets.shape, *self.shape[1:]), self.dtype)
        self._fill(out, np.atleast_1d(offsets))
        return out

    def read(self, patches: np.ndarray, out: np.ndarray) -> None:
        """patches: (n,) their numbers, rising ones the quickest; out: (n, 4, S, S), contiguous, of the file's dtype, to be filled."""
        if not out.flags.c_contiguous or out.dtype != self.dtype or out.shape != (len(patches), *self.shape[1:]):
            raise ValueError(
                f"out {out.dtype} {out.shape} does not take {len(patches)} stacks {self.dtype} {self.shape[1:]}"
            )
        self._fill(out, self._offsets[patches])

    def _fill(self, out: np.ndarray, offsets: np.ndarray) -> None:
        target = out.reshape(-1).view(np.uint8).data
        for i, offset in enumerate(offsets.tolist()):
            if os.preadv(self._file, [target[i * self._each : (i + 1) * self._each]], offset) != self._each:
                raise InputError(f"{self.path}: was cut off while it was read; crop again with --fresh")


@dataclass(frozen=True)
class Patches:
    """The live patches of a patch file. table: (N,) TABLE, in the order of the stacks; boxes: BOXES, sorted by `patch`, which counts the
    live patches from 0."""

    path: Path
    description: dict[str, Any]
    stacks: Stacks
    table: np.ndarray
    boxes: np.ndarray

    @classmethod
    def open(cls, path: Path) -> "Patches":
        """Raises InputError where it is missing, of another version, or its parts do not fit together."""
        path = Path(path)
        description = read_description(path)
        table, boxes = read_tables(path, description)
        table, boxes = live(table, boxes)
        stacks = Stacks(path / STACKS_FILE, table["stack"])
        if stacks.shape[2:] != (description.get("size"),) * 2:
            raise InputError(f"{path}: stacks {stacks.shape} are not of the size that {DESCRIPTION} states; crop again")
        return cls(path, description, stacks, table, boxes)

    @property
    def size(self) -> int:
        return int(self.description["size"])

    def sigma(self, spec: InputSpec, rows: np.ndarray) -> np.ndarray:
        """Noise scale of each channel of the input `spec`, (n, C) float32, counts."""
        difference, frame = self.table["sigma_difference"][rows], self.table["sigma_frame"][rows]
        return {
            "single": frame[:, :1],
            "sequence": frame,
            "difference": difference,
            "difference+frame": np.concatenate([difference, frame[:, :1]], axis=1),
        }[spec.kind]

    def rows(self, split: str) -> np.ndarray:
        """Indices of a split's patches."""
        return np.flatnonzero(self.table["split"] == SPLITS.index(split))


def read_description(path: Path) -> dict[str, Any]:
    """patches.json. Raises InputError where it is missing or of another version."""
    description = read_json(path / DESCRIPTION, "patch file (make one with irdim-train crop)")
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise InputError(f"{path / DESCRIPTION}: not a patch file; make one with irdim-train crop")
    if description.get("version") != VERSION:
        raise InputError(
            f"{path / DESCRIPTION}: a patch file of version {description.get('version')}, this irdim reads version {VERSION}; "
            "crop again with --fresh"
        )
    counts = description.get("rows")
    if not isinstance(counts, dict) or not all(isinstance(counts.get(k), int) and counts[k] >= 0 for k in COUNTED):
        raise InputError(f"{path / DESCRIPTION}: does not say how many rows count; crop again with --fresh")
    return description


COUNTED = ("stacks", "table", "boxes")


def read_tables(path: Path, description: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """All rows of TABLE and BOXES that count, retired ones too. Raises InputError where they do not fit together."""
    counts = description["rows"]
    table = read_rows(path / TABLE_FILE, counts["table"], TABLE)
    boxes = read_rows(path / BOXES_FILE, counts["boxes"], BOXES)
    for name, values, end in (("stack", table["stack"], counts["stacks"]), ("patch", boxes["patch"], counts["table"])):
        if len(values) and not 0 <= values.min() <= values.max() < end:
            raise InputError(f"{path}: the tables do not fit together ({name} beyond {end}); crop again with --fresh")
    return table, boxes


def live(table: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The patches that count, in the order of the stacks, and their boxes: of each stack the last row, unless that retires it."""
    table, boxes = last_rows(table, boxes)
    return _chosen(np.flatnonzero(table["live"]), table, boxes)


def last_rows(table: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last row of each stack, retired ones too, in the order of the stacks; their boxes, renumbered and sorted by `patch`."""
    last = np.full(int(table["stack"].max(initial=-1)) + 1, -1)
    last[table["stack"]] = np.arange(len(table))  # of an index that is there twice, the last value stays
    return _chosen(last[last >= 0], table, boxes)


def _chosen(rows: np.ndarray, table: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    number = np.full(len(table), -1, np.int32)
    number[rows] = np.arange(len(rows))
    boxes = boxes[number[boxes["patch"]] >= 0]
    boxes["patch"] = number[boxes["patch"]]
    return table[rows], boxes[np.argsort(boxes["patch"], kind="stable")]
