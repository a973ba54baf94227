"""Proposals into the review queue and followed targets into the labels, none twice."""

import hashlib
from collections.abc import Mapping
from collections.abc import Sequence as ListOf
from typing import Any

from irdim.boxes import IGNORE, Box
from irdim.dataset import Dataset, LabelledBox, Sequence
from irdim.dataset.queue import SAME
from irdim.dataset.records import TRACK
from irdim_train.labelling.follow import Followed
from irdim_train.labelling.propose import NEAR, Proposal


def is_labelled(boxes: Mapping[int, ListOf[LabelledBox]]) -> bool:
    """Whether labels, by frame, say anything of a sequence: what is only to be ignored, or was not looked at, says nothing."""
    return any(b.label != IGNORE for of in boxes.values() for b in of)


def enqueue_proposals(
    data: Dataset, sequence: Sequence, proposals: list[Proposal], by: str = "classical", **facts: Any
) -> int:
    """Put proposals into the review queue; returns how many were new. by, facts: what the provenance says of where they come from.

    What lies on labels, or on tracks that were proposed before and perhaps rejected, for most of its frames is not proposed again. A frame
    whose cover another open question holds (that of a field log) is left to that question, whose answer would be a second box there.
    """
    new = 0
    with data.transaction():
        taken, held = known_places(data, sequence), _held_frames(data, sequence)
        for p in proposals:
            boxes = {f: b for f, b in sorted(p.boxes.items()) if f not in held}
            if not boxes or _known_share(p, taken) > 0.5:
                continue
            shown = min(boxes, key=lambda f: abs(f - p.shown))
            points = [[f, *(round(v, 2) for v in (b.x, b.y, b.w, b.h))] for f, b in boxes.items()]
            digest = hashlib.sha256(repr(points).encode()).hexdigest()[:16]
            new += data.enqueue(
                key=f"{TRACK}:{sequence.name}:{digest}",
                kind=TRACK,
                sequence_id=sequence.id,
                frame=shown,
                box=boxes[shown],
                score=p.score,
                reason=p.reason,
                provenance={"by": by, **facts, "points": points},
            )
    return new


def add_followed(data: Dataset, sequence: Sequence, followed: Followed, *, who: str, why: str) -> int:
    """Write the boxes of a followed target as labels, all or none; returns how many. A frame that has a label there already keeps that."""
    added = 0
    with data.transaction():
        labels = data.boxes(sequence)
        for frame, box in followed.boxes.items():
            if any(_near(box, b.x, b.y, SAME) for b in labels.get(frame, []) if b.label != IGNORE):
                continue
            how = "snapped to its centroid" if frame in followed.snapped else "interpolated"
            data.add_box(sequence, frame, box, who=who, why=f"{why}, {how}")
            added += 1
    return added


def known_places(data: Dataset, sequence: Sequence) -> dict[int, list[tuple[float, float]]]:
    """Centres (x, y) of live labels and of all tracks that were ever proposed, by frame. What is to be ignored is not known."""
    places = {f: [(b.x, b.y) for b in boxes if b.label != IGNORE] for f, boxes in data.boxes(sequence).items()}
    for item in data.queue_items():
        if item.kind == TRACK and item.sequence_id == sequence.id:
            for frame, x, y, *_ in item.provenance["points"]:
                places.setdefault(frame, []).append((x, y))
    return places


def _held_frames(data: Dataset, sequence: Sequence) -> set[int]:
    """Frames of a region to ignore, or a cover, that an open question may replace."""
    asked = {i.box_id for i in data.queue_items("open") if i.sequence_id == sequence.id and i.box_id is not None}
    labels = data.boxes(sequence) if asked else {}
    return {frame for frame, of in labels.items() if any(b.label == IGNORE and b.id in asked for b in of)}


def _known_share(p: Proposal, taken: dict[int, list[tuple[float, float]]]) -> float:
    near = (any(_near(box, x, y, NEAR) for x, y in taken.get(frame, [])) for frame, box in p.boxes.items())
    return sum(near) / len(p.boxes)


def _near(box: Box, x: float, y: float, reach: float) -> bool:
    return (box.x - x) ** 2 + (box.y - y) ** 2 <= reach**2
