"""The queue: what is proposed to a person, what the person decides, and what follows for the boxes."""

import dataclasses
import json
import math
from collections.abc import Mapping
from collections.abc import Sequence as ListOf

from irdim.boxes import IGNORE, INTERFERENCE, LABELS, TARGET, Box, covers
from irdim.dataset import boxes, schema, sequences
from irdim.dataset.records import DECISIONS, LABELLED_BACKGROUND, TRACK, QueueItem, Sequence
from irdim.dataset.store import Store, to_json
from irdim.errors import InputError
from irdim.fieldlog.records import LOW_CONFIDENCE, SAMPLE
from irdim.tracks.records import FALSE_ALARM, MISSED

SAME = 3.0  # px between the centres of two labels of one thing


class AlreadyDecided(InputError):
    """Somebody was faster."""


ITEMS = """
SELECT q.id, q.key, q.kind, q.sequence, q.frame, q.x, q.y, q.w, q.h, q.label, q.score, q.reason, q.box, q.provenance,
  r.decision, r.who, r.at
FROM queue q LEFT JOIN reviews r ON r.item = q.id AND r.decision <> 'skip'
  AND NOT EXISTS (SELECT 1 FROM undone u WHERE u.review = r.id)
"""
_STATES = {None: "", "open": "WHERE r.id IS NULL", "decided": "WHERE r.id IS NOT NULL"}


def enqueue(store: Store, item: QueueItem) -> bool:
    with store.transaction():
        if store.rows("SELECT 1 FROM queue WHERE key = ?", (item.key,)):
            return False
        of = sequence_of(store, item.sequence_id)
        boxes.check(of.name, (of.length, of.height, of.width), item.frame, item.box)
        if item.box_id is not None and not store.rows(
            "SELECT 1 FROM boxes WHERE id = ? AND sequence = ?", (item.box_id, of.id)
        ):
            raise InputError(
                f"{of.name}: queue item '{item.key}' is about box {item.box_id}, which this sequence does not have"
            )
        store.insert(
            "queue",
            **{"key": item.key, "kind": item.kind, "sequence": of.id, "frame": int(item.frame)},
            **{
                "x": float(item.box.x),
                "y": float(item.box.y),
                "w": float(item.box.w),
                "h": float(item.box.h),
                "label": item.box.label,
            },
            **{"score": float(item.score), "reason": item.reason, "box": item.box_id},
            **{"provenance": to_json(dict(item.provenance), item.key), "at": schema.now()},
        )
        return True


def items(store: Store, state: str | None = None) -> list[QueueItem]:
    if state not in _STATES:
        raise InputError(f"queue state '{state}': choose 'open' or 'decided'")
    return [item_of(row) for row in store.rows(f"{ITEMS} {_STATES[state]} ORDER BY q.score DESC, q.id")]


def find(store: Store, item_id: int) -> tuple[QueueItem, str | None, str | None]:
    """A queue item, and who decided it when."""
    found = store.rows(f"{ITEMS} WHERE q.id = ?", (item_id,))
    if not found:
        raise InputError(f"{store.folder}: no queue item {item_id}; irdim-train review lists them")
    return item_of(found[0]), found[0][-2], found[0][-1]


def decide(
    store: Store,
    item_id: int,
    decision: str,
    *,
    who: str,
    why: str,
    box: Box | None = None,
    more: Mapping[int, ListOf[Box]] | None = None,
    track: Mapping[int, Box | None] | None = None,
) -> int:
    if decision not in DECISIONS:
        raise InputError(f"decision '{decision}': choose one of {', '.join(DECISIONS)}")
    with store.transaction():
        item, reviewer, at = find(store, item_id)
        if item.decision:
            raise AlreadyDecided(f"queue item {item_id} was decided already: '{item.decision}' by {reviewer}, {at}")
        if decision != "skip":
            item = dataclasses.replace(item, box_id=_as_it_was(store, item.box_id))
        after_box = _last_box(store)
        iteration = boxes.current(store, None)
        row, of = None, sequence_of(store, item.sequence_id)
        if item.box_id is not None and _is_gone_cover(store, of, item.box_id):
            item = dataclasses.replace(item, box_id=None)  # another item of the frame took it away
        if item.kind == SAMPLE:
            if decision in (TARGET, INTERFERENCE) and box is None:
                raise InputError(
                    f"queue item {item_id}: a whole frame; mark the {decision} itself, or accept the frame as it is"
                )
            if decision in ("accept", TARGET, INTERFERENCE):
                _uncover(store, of, [item.frame], who=who, why=why, iteration=iteration)
        label = _outcome(item, decision)
        if _leaves_background(item, decision):
            if item.box_id is not None:
                row = boxes.supersede(store, item.box_id, None, who=who, why=why, iteration=iteration)
            _uncover(store, of, _frames(item), who=who, why=why, iteration=iteration)
        if (
            label in (TARGET, INTERFERENCE) and item.box_id is None and item.kind != TRACK
        ):  # another item of the frame holds its cover
            _uncover(store, of, [item.frame], who=who, why=why, iteration=iteration)
        if label is not None and item.kind == TRACK:
            if box is not None:
                raise InputError(f"queue item {item_id}: a whole track; give its corrected boxes by frame")
            row = _add_track(store, item, label, track or {}, who=who, why=why, iteration=iteration)
        elif label is not None:
            marked = box or item.box
            place = Box(marked.x, marked.y, marked.w, marked.h, label)
            if item.box_id is not None:
                row = boxes.supersede(store, item.box_id, place, who=who, why=why, iteration=iteration)
            else:
                row = boxes.add(store, of, item.frame, place, who=who, why=why, iteration=iteration)
        if more and decision != "skip":
            _add_more(store, of, more, who=who, why=why, iteration=iteration)
        return store.insert(
            "reviews",
            **{"item": item_id, "decision": decision, "box": row, "iteration": iteration},
            **{"who": who, "why": why, "at": schema.now(), "after_box": after_box, "last_box": _last_box(store)},
        )


def undo(store: Store, review: int, *, who: str, why: str) -> int:
    with store.transaction():
        found = store.rows(
            "SELECT item, decision, after_box, last_box, (SELECT u.who || ', ' || u.at FROM undone u WHERE u.review = r.id) "
            "FROM reviews r WHERE id = ?",
            (review,),
        )
        if not found:
            raise InputError(f"{store.folder}: no decision {review} in this data set")
        item_id, decision, after_box, last_box, undone = found[0]
        if undone:
            raise InputError(f"decision {review} was undone already by {undone}")
        if after_box is None:
            raise InputError(
                f"decision {review} ('{decision}') is of an older irdim, and its boxes are not known; correct them"
            )
        written = "SELECT id, sequence, frame, label, supersedes FROM boxes WHERE id > ? AND id <= ? ORDER BY id DESC"
        for row, sequence, frame, label, before in store.rows(written, (after_box, last_box)):
            if taken := store.rows("SELECT who, at FROM boxes WHERE supersedes = ?", (row,)):
                raise InputError(
                    f"decision {review} cannot be undone: {taken[0][0]} has changed its box since ({taken[0][1]}); look again"
                )
            box = _box(store, before) if before is not None else None
            if box is None and label is None:
                continue
            boxes.insert(
                store, sequence, frame, box, who=who, why=why, iteration=boxes.current(store, None), supersedes=row
            )
        store.insert("undone", review=review, who=who, why=why, at=schema.now())
        return int(item_id)


def sequence_of(store: Store, sequence_id: int) -> Sequence:
    found = store.rows("SELECT name FROM sequences WHERE id = ?", (sequence_id,))
    if not found:
        raise InputError(f"{store.folder}: no sequence with id {sequence_id} in this data set")
    return sequences.named(store, found[0][0])


def _add_track(
    store: Store,
    item: QueueItem,
    label: str,
    corrected: Mapping[int, Box | None],
    *,
    who: str,
    why: str,
    iteration: int,
) -> int | None:
    """Add the boxes of a track, as the reviewer corrected them, and take away what covers their frames; the row of the one on the item's own frame.

    A frame that has that label there already keeps it, unless the reviewer corrected the box there: then, as where another class is labelled, it takes the
    label's place.
    """
    sequence, row = sequence_of(store, item.sequence_id), None
    if strange := set(corrected) - set(_frames(item)):
        raise InputError(f"queue item {item.id}: its track has no point on frame {min(strange)} to correct")
    if label in (TARGET, INTERFERENCE):
        _uncover(store, sequence, _frames(item), who=who, why=why, iteration=iteration)
    live = boxes.live(store, sequence) if label in (TARGET, INTERFERENCE) else {}
    for frame, x, y, w, h in item.provenance["points"]:
        box = corrected.get(frame, Box(x, y, w, h))
        if box is None:
            continue
        box = Box(box.x, box.y, box.w, box.h, label)
        away = {b.id: math.hypot(b.x - box.x, b.y - box.y) for b in live.get(frame, []) if b.label != IGNORE}
        there = min(
            (b for b in live.get(frame, []) if away.get(b.id, SAME + 1) <= SAME), key=lambda b: away[b.id], default=None
        )
        if there is not None and there.label == label and frame not in corrected:
            continue
        if there is not None:
            added = boxes.supersede(store, there.id, box, who=who, why=why, iteration=iteration)
        else:
            added = boxes.add(store, sequence, frame, box, who=who, why=why, iteration=iteration)
        row = added if frame == item.frame else row
    return row


def _uncover(store: Store, sequence: Sequence, frames: list[int], *, who: str, why: str, iteration: int) -> None:
    """Take away what covers whole frames because nobody had looked at them; smaller `ignore` boxes are somebody's decision, and stay."""
    live = boxes.live(store, sequence)
    for box in [box for frame in frames for box in live.get(frame, [])]:
        if covers(box, (sequence.height, sequence.width)):
            boxes.supersede(store, box.id, None, who=who, why=why, iteration=iteration)


def _add_more(
    store: Store, sequence: Sequence, more: Mapping[int, ListOf[Box]], *, who: str, why: str, iteration: int
) -> None:
    """What the reviewer marked besides, by frame; a frame that something is marked on was looked at."""
    _uncover(store, sequence, [f for f, marked in more.items() if marked], who=who, why=why, iteration=iteration)
    for frame, marked in more.items():
        for box in marked:
            boxes.add(store, sequence, frame, box, who=who, why=why, iteration=iteration)


def _as_it_was(store: Store, box_id: int | None) -> int | None:
    """The row that now holds the box in question: after an undo, the last of its history, where it says the same."""
    last = box_id
    while last is not None and (found := store.rows("SELECT id FROM boxes WHERE supersedes = ?", (last,))):
        last = found[0][0]
    return last if box_id is not None and last is not None and _box(store, last) == _box(store, box_id) else box_id


def _is_gone_cover(store: Store, sequence: Sequence, row: int) -> bool:
    """Whether a box covered its whole frame, and does no longer."""
    box = _box(store, row)
    if box is None or not covers(box, (sequence.height, sequence.width)):
        return False
    return bool(store.rows("SELECT id FROM boxes WHERE supersedes = ?", (row,)))


def _box(store: Store, row: int) -> Box | None:
    """The box of a row; None where it is a removal."""
    x, y, w, h, label = store.rows("SELECT x, y, w, h, label FROM boxes WHERE id = ?", (row,))[0]
    return None if label is None else Box(x, y, w, h, label)


def _last_box(store: Store) -> int:
    return int(store.rows("SELECT coalesce(max(id), 0) FROM boxes")[0][0])


def _frames(item: QueueItem) -> list[int]:
    """The frames that an item is about."""
    return [point[0] for point in item.provenance["points"]] if item.kind == TRACK else [item.frame]


def _leaves_background(item: QueueItem, decision: str) -> bool:
    """Whether somebody has looked and found nothing: a background that must be learnt."""
    if item.kind == LABELLED_BACKGROUND and decision == "accept":
        return True
    return decision == "background" or (decision == "reject" and item.kind in (MISSED, LOW_CONFIDENCE))


def _outcome(item: QueueItem, decision: str) -> str | None:
    """The label that a decision puts there, or None."""
    if item.kind == SAMPLE:
        return decision if decision in (TARGET, INTERFERENCE) else None
    if decision in LABELS:
        return decision
    if _leaves_background(item, decision):
        return None
    if decision == "accept":
        return {MISSED: TARGET, FALSE_ALARM: INTERFERENCE}.get(item.kind, item.box.label)
    return TARGET if decision == "reject" and item.kind == FALSE_ALARM else None


def item_of(row: tuple) -> QueueItem:
    number, key, kind, sequence, frame, x, y, w, h, label, score, reason, box, provenance, decision, _, _ = row
    state = "decided" if decision else "open"
    return QueueItem(
        number,
        key,
        kind,
        sequence,
        frame,
        Box(x, y, w, h, label),
        score,
        reason,
        box,
        json.loads(provenance),
        state,
        decision,
    )
