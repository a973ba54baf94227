"""What a patch file holds, by place."""

from dataclasses import dataclass

import numpy as np

from irdim.patches import last_rows

Corner = tuple[int, int, int]  # frame, top, left


@dataclass(frozen=True)
class PatchIndex:
    """table: (n,) TABLE, the last row of each stack, retired ones too; boxes: their BOXES, sorted by `patch`."""

    table: np.ndarray
    boxes: np.ndarray
    _order: np.ndarray

    @classmethod
    def of(cls, table: np.ndarray, boxes: np.ndarray) -> "PatchIndex":
        """table, boxes: all rows that count."""
        table, boxes = last_rows(table, boxes)
        return cls(table, boxes, np.argsort(table["sequence"], kind="stable"))

    def rows(self, sequence: int) -> dict[Corner, int]:
        """The rows of a sequence's stacks."""
        begin, end = np.searchsorted(self.table["sequence"], [sequence, sequence + 1], sorter=self._order)
        rows = self._order[begin:end]
        corners = (self.table[name][rows].tolist() for name in ("frame", "top", "left"))
        return dict(zip(zip(*corners, strict=True), rows.tolist(), strict=True))

    def boxes_of(self, row: int) -> np.ndarray:
        """BOXES in a stack, `patch` being 0."""
        begin, end = np.searchsorted(self.boxes["patch"], [row, row + 1])
        found = self.boxes[begin:end].copy()
        found["patch"] = 0
        return found
