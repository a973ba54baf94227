"""Boxes of a data set and their history: rows are only ever added; a box is live while no row supersedes it."""

import math
import sqlite3

from irdim.boxes import LABELS, Box
from irdim.dataset import schema
from irdim.dataset.records import LabelledBox, Sequence
from irdim.dataset.store import Store
from irdim.errors import InputError

_LIVE = """
SELECT b.frame, b.x, b.y, b.w, b.h, b.label, b.id FROM boxes b
WHERE b.sequence = :sequence AND b.label IS NOT NULL AND b.iteration <= :iteration
  AND NOT EXISTS (SELECT 1 FROM boxes s WHERE s.supersedes = b.id AND s.iteration <= :iteration)
ORDER BY b.frame, b.id
"""


def live(store: Store, sequence: Sequence, iteration: int | None = None) -> dict[int, list[LabelledBox]]:
    last = 2**62 if iteration is None else iteration
    found: dict[int, list[LabelledBox]] = {}
    for frame, *box in store.connection.execute(_LIVE, {"sequence": sequence.id, "iteration": last}):
        found.setdefault(frame, []).append(LabelledBox(*box))
    return found


def add(
    store: Store, sequence: Sequence, frame: int, box: Box, *, who: str, why: str, iteration: int | None = None
) -> int:
    check(sequence.name, (sequence.length, sequence.height, sequence.width), frame, box)
    with store.transaction():
        return insert(store, sequence.id, frame, box, who=who, why=why, iteration=current(store, iteration))


def supersede(store: Store, box_id: int, box: Box | None, *, who: str, why: str, iteration: int | None = None) -> int:
    with store.transaction():
        iteration = current(store, iteration)
        query = """SELECT b.sequence, b.frame, b.iteration, b.label, s.name, s.length, s.height, s.width,
                   (SELECT n.who || ', ' || n.at FROM boxes n WHERE n.supersedes = b.id)
                   FROM boxes b JOIN sequences s ON s.id = b.sequence WHERE b.id = ?"""
        if not (found := store.rows(query, (box_id,))):
            raise InputError(f"{store.folder}: no box {box_id} in this data set")
        sequence, frame, began, label, name, length, height, width, successor = found[0]
        if successor or label is None:
            raise InputError(
                f"{name}, frame {frame}: box {box_id} is superseded already ({successor or 'a removal'}); look again"
            )
        if iteration < began:
            raise InputError(
                f"{name}, frame {frame}: box {box_id} of iteration {began} cannot be superseded in {iteration}"
            )
        if box is not None:
            check(name, (length, height, width), frame, box)
        return insert(store, sequence, frame, box, who=who, why=why, iteration=iteration, supersedes=box_id)


def insert(
    store: Store,
    sequence: int,
    frame: int,
    box: Box | None,
    *,
    who: str,
    why: str,
    iteration: int,
    supersedes: int | None = None,
) -> int:
    """Add a row within a transaction; `box` None is the removal of the one that it supersedes."""
    place = (
        {"x": float(box.x), "y": float(box.y), "w": float(box.w), "h": float(box.h), "label": box.label} if box else {}
    )
    history = {"supersedes": supersedes, "iteration": iteration, "who": who, "why": why, "at": schema.now()}
    try:
        return store.insert("boxes", sequence=sequence, frame=int(frame), **place, **history)
    except sqlite3.IntegrityError as error:
        raise InputError(
            f"{store.folder}: a box for frame {frame} cannot be stored in iteration {iteration} ({error})"
        ) from None


def check(name: str, shape: tuple[int, int, int], frame: int, box: Box) -> None:
    """Raises InputError unless the box is on a frame of the sequence (T, H, W), has a size and its centre within."""
    length, height, width = shape
    what = f"{name}, frame {frame}: box {box.label} at ({box.x:g}, {box.y:g}), {box.w:g} x {box.h:g},"
    if not 0 <= frame < length:
        raise InputError(f"{what} is for a frame that is not there (frames 0 to {length - 1}); correct the label")
    if box.label not in LABELS:
        raise InputError(f"{what} has no known label; choose one of {', '.join(LABELS)}")
    if not (math.isfinite(box.x + box.y + box.w + box.h) and box.w > 0 and box.h > 0):
        raise InputError(f"{what} has no size above 0; correct the label")
    if not (0 <= box.x < width and 0 <= box.y < height):
        raise InputError(f"{what} has its centre outside the frame ({width}x{height}); correct the label")


def current(store: Store, iteration: int | None) -> int:
    """`iteration`, or the newest where none is given."""
    return int(store.rows("SELECT max(id) FROM iterations")[0][0]) if iteration is None else iteration
