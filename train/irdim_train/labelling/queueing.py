"""Proposals into the review queue and followed targets into the labels, none twice."""

import hashlib
from typing import Any

from irdim.boxes import IGNORE, Box
from irdim.dataset import Dataset, Sequence
from irdim.dataset.records import TRACK
from irdim_train.labelling.follow import Followed
from irdim_train.labelling.propose import NEAR, Proposal

SAME = 3.0  # px between the centres of two labels of one target


def enqueue_proposals(
    data: Dataset, sequence: Sequence, proposals: list[Proposal], by: str = "classical", **facts: Any
) -> int:
    """Put proposals into the review queue; returns how many were new. by, facts: what the provenance says of where they come from.

    What lies on labels, or on tracks that were proposed before and perhaps rejected, for most of its frames is not proposed again.
    """
    new = 0
    with data.transaction():
        taken = known_places(data, sequence)
        for p in proposals:
            if _known_share(p, taken) > 0.5:
                continue
            points = [[f, *(round(v, 2) for v in (b.x, b.y, b.w, b.h))] for f, b in sorted(p.boxes.items())]
            digest = hashlib.sha256(repr(points).encode()).hexdigest()[:16]
            new += data.enqueue(
                key=f"{TRACK}:{sequence.name}:{digest}",
                kind=TRACK,
                sequence_id=sequence.id,
                frame=p.shown,
                box=p.boxes[p.shown],
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


def _known_share(p: Proposal, taken: dict[int, list[tuple[float, float]]]) -> float:
    near = (any(_near(box, x, y, NEAR) for x, y in taken.get(frame, [])) for frame, box in p.boxes.items())
    return sum(near) / len(p.boxes)


def _near(box: Box, x: float, y: float, reach: float) -> bool:
    return (box.x - x) ** 2 + (box.y - y) ** 2 <= reach**2
