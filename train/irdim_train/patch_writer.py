"""Writing a patch file: a new one, whole or not at all, or more into one that is there, whose rows stay as they are."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import IGNORE, LABELS, TARGET
from irdim.differencing import STACK
from irdim.files import write_json
from irdim.grid import STRIDE
from irdim.npy import GrowingArray, read_layout
from irdim.patches import (
    BOXES,
    BOXES_FILE,
    DESCRIPTION,
    FORMAT,
    SPLITS,
    STACKS_FILE,
    TABLE,
    TABLE_FILE,
    VERSION,
    live,
    read_description,
    read_tables,
)
from irdim_train.assignment import NOWHERE, assign_cells
from irdim_train.staging import held_folder, staged_folder


class PatchWriter:
    """Appends to the three arrays of a patch file. folder: where they lie, and other files may; before: all rows of TABLE and BOXES that were
    there; dtype: of the stacks; description: what patches.json says, once the writer has ended well."""

    def __init__(
        self,
        folder: Path,
        arrays: Mapping[str, GrowingArray],
        description: dict[str, Any],
        before: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Use `patch_writer` or `patch_appender`."""
        self.folder, self.description, self.before = folder, description, before
        self._stacks, self._table, self._boxes = arrays["stacks"], arrays["table"], arrays["boxes"]
        self.dtype = self._stacks.dtype
        self._began = (self._stacks.count, self._table.count, self._boxes.count)
        self._digests = {name: hashlib.sha256() for name in arrays}

    def add(self, rows: np.ndarray, stacks: np.ndarray, boxes: np.ndarray) -> None:
        """More patches. rows: (n,) TABLE, whose `stack`, `live` and `iteration` are filled in here; stacks: (n, 4, S, S) in the file's depth;
        boxes: BOXES, whose `patch` counts `rows` from 0."""
        if len(stacks) != len(rows):
            raise ValueError(f"{len(stacks)} stacks for {len(rows)} rows")
        rows = rows.copy()
        rows["stack"] = self._stacks.count + np.arange(len(rows))
        self._append("stacks", self._stacks, stacks)
        self.put(rows, boxes)

    def put(self, rows: np.ndarray, boxes: np.ndarray, alive: bool = True) -> None:
        """Other labels for stacks that are there: (n,) TABLE with their `stack`, and all boxes that hold from now on; retired where not `alive`."""
        rows, boxes = rows.copy(), boxes.copy()
        rows["live"], rows["iteration"] = alive, self.description["iteration"]
        boxes["patch"] += self._table.count
        self._append("table", self._table, rows)
        self._append("boxes", self._boxes, boxes)

    def add_boxes(self, boxes: np.ndarray) -> None:
        """More BOXES for rows that are there; `patch` is the row."""
        if len(boxes) and boxes["patch"].max() >= self._table.count:
            raise ValueError(f"boxes for row {boxes['patch'].max()} of {self._table.count}")
        self._append("boxes", self._boxes, boxes)

    @property
    def count(self) -> int:
        """Stacks so far."""
        return self._stacks.count

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return self._began != (self._stacks.count, self._table.count, self._boxes.count)

    def _append(self, name: str, array: GrowingArray, rows: np.ndarray) -> None:
        self._digests[name].update(array.append(rows).data)

    def _finish(self) -> None:
        """Rows to the disk, then the description that makes them count."""
        arrays = {"stacks": self._stacks, "table": self._table, "boxes": self._boxes}
        for array in arrays.values():
            array.settle(array.count)
        self.description["rows"] = {name: array.count for name, array in arrays.items()}
        chain = [self.description.get("digest", ""), *(d.hexdigest() for d in self._digests.values())]
        self.description["digest"] = hashlib.sha256("".join(chain).encode()).hexdigest()
        self.description |= _counts(*live(*read_tables(self.folder, self.description)), self.description["size"])
        write_json(self.folder / DESCRIPTION, self.description)


@contextlib.contextmanager
def patch_writer(out: Path, *, size: int, dtype: np.dtype, facts: Mapping[str, Any]) -> Iterator[PatchWriter]:
    """Write a new patch file `out`, whole or not at all, in place of one that is there.

    facts: what patches.json says besides: `frame_step`, `register`, `data` (folder), `iteration`, `seed`, ... Raises InputError where `out` is
    something else.
    """
    description = {"format": FORMAT, "version": VERSION, "size": size, **facts}
    with (
        staged_folder(out, DESCRIPTION, FORMAT, (STACKS_FILE, TABLE_FILE, BOXES_FILE)) as folder,
        contextlib.ExitStack() as files,
    ):
        arrays = {
            "stacks": GrowingArray(folder / STACKS_FILE, np.dtype(dtype), (STACK, size, size)),
            "table": GrowingArray(folder / TABLE_FILE, TABLE),
            "boxes": GrowingArray(folder / BOXES_FILE, BOXES),
        }
        for array in arrays.values():
            files.enter_context(array)
        writer = PatchWriter(folder, arrays, description, (np.zeros(0, TABLE), np.zeros(0, BOXES)))
        yield writer
        writer._finish()


@contextlib.contextmanager
def patch_appender(out: Path, **facts: Any) -> Iterator[PatchWriter]:
    """Write more into the patch file `out`; facts: what patches.json says anew. On an error it is what it was; after a kill its old
    description still holds, and the next writer cuts off what lies behind. Where nothing was written, not a byte changes."""
    with held_folder(out, "another process writes to this patch file; wait for it"), contextlib.ExitStack() as files:
        description = read_description(out)
        counts, layout = description["rows"], read_layout(out / STACKS_FILE)
        arrays = {
            "stacks": GrowingArray(out / STACKS_FILE, layout.dtype, layout.shape[1:], counts["stacks"]),
            "table": GrowingArray(out / TABLE_FILE, TABLE, (), counts["table"]),
            "boxes": GrowingArray(out / BOXES_FILE, BOXES, (), counts["boxes"]),
        }
        for array in arrays.values():
            files.enter_context(array)
        writer = PatchWriter(out, arrays, {**description, **facts}, read_tables(out, description))
        try:
            yield writer
            if writer.changed:
                writer._finish()
        except BaseException:
            counts = read_description(out)["rows"]  # an interrupt may come when the new description is there already
            for name, array in arrays.items():
                array.settle(counts[name])
            raise


def _counts(table: np.ndarray, boxes: np.ndarray, size: int) -> dict[str, int]:
    """Of live patches."""
    with_target = np.unique(boxes["patch"][boxes["label"] == LABELS.index(TARGET)]).size
    return {
        "patches": len(table),
        "with_target": int(with_target),
        "background": int(len(table) - with_target),
        "hard": int(np.count_nonzero(table["hard"])),
        **{split: int((table["split"] == i).sum()) for i, split in enumerate(SPLITS)},
        "sequences": int(np.unique(table["sequence"]).size),
        **_crowding(boxes, size),
    }


def _crowding(boxes: np.ndarray, size: int) -> dict[str, int]:
    """How many targets share a cell of the grid with another: those that a free neighbour answers for, and those that none does."""
    boxes = boxes[boxes["label"] != LABELS.index(IGNORE)]
    cells, moved = assign_cells(boxes, (size // STRIDE, size // STRIDE), STRIDE)
    target = boxes["label"] == LABELS.index(TARGET)
    return {"moved": int((moved & target).sum()), "lost": int(((cells[:, 0] == NOWHERE) & target).sum())}
