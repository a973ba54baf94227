"""The patch file: stacks cut from sequences, as one memory-mapped array and two tables. Format: docs/formats.md.

PATCHES/patches.json   version, size, frame step, registration, data set, counts
PATCHES/stacks.npy     (N, 4, S, S) uint8 or uint16, newest first, older frames moved by whole pixels
PATCHES/table.npy      (N,) TABLE: where each was cut, what is left of its shifts, noise scales of the whole frame
PATCHES/boxes.npy      (M,) BOXES: the boxes in them, patch coordinates
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.files import read_json

FORMAT, VERSION = "irdim-patches", 1
DESCRIPTION = "patches.json"

TABLE = np.dtype(
    [
        ("sequence", "<i4"),  # the data set's id
        ("frame", "<i4"),  # index of the newest frame
        ("top", "<i4"),  # row of the patch's first pixel in the newest frame
        ("left", "<i4"),
        ("split", "u1"),  # index into SPLITS
        ("shift", "<f4", (3, 2)),  # what is left of each older frame's (dy, dx), -0.5..0.5 px
        ("sigma_difference", "<f4", (3,)),  # counts, over the whole frame
        ("sigma_frame", "<f4", (4,)),  # counts, over the whole frame, after the high-pass
    ]
)
BOXES = np.dtype(
    [
        ("patch", "<i4"),
        ("x", "<f4"),
        ("y", "<f4"),
        ("w", "<f4"),
        ("h", "<f4"),
        ("label", "u1"),  # index into irdim.boxes.LABELS
        ("box", "<i4"),  # the data set's id of the box
    ]
)
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Patches:
    """A patch file, opened. `stacks` stays on disk until it is indexed."""

    path: Path
    description: dict[str, Any]
    stacks: np.ndarray
    table: np.ndarray
    boxes: np.ndarray

    @classmethod
    def open(cls, path: Path) -> "Patches":
        """Raises InputError where it is missing, of another version, or its parts do not fit together."""
        path = Path(path)
        description = read_json(path / DESCRIPTION, "patch file (make one with irdim-train crop)")
        if (
            not isinstance(description, dict)
            or description.get("format") != FORMAT
            or description.get("version") != VERSION
        ):
            raise InputError(f"{path / DESCRIPTION}: not a patch file of version {VERSION}; crop again")
        try:
            stacks = np.load(path / "stacks.npy", mmap_mode="r", allow_pickle=False)
            table = np.load(path / "table.npy", allow_pickle=False)
            boxes = np.load(path / "boxes.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: unreadable patch file ({error}); crop again") from None
        size = description.get("size")
        if table.dtype != TABLE or boxes.dtype != BOXES or stacks.shape != (len(table), 4, size, size):
            raise InputError(f"{path}: stacks {stacks.shape} and table ({len(table)}) do not fit together; crop again")
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
