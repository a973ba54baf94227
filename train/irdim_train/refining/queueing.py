"""Doubts into the review queue, each once, with a reason that a person can read."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from collections.abc import Sequence as ListOf
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import IGNORE, Box
from irdim.dataset import Dataset, Sequence
from irdim.dataset.queue import SAME
from irdim.dataset.records import LABELLED_BACKGROUND, MISPLACED, TRACK, UNLABELLED, WRONG_CATEGORY
from irdim.fieldlog import SAMPLE
from irdim_train.refining.disagreement import Doubt

CLEAR = 0.4  # of -1..1, from which the labels around are said to agree, or not to
HALF = 4.0  # nats that make a score of a half


def enqueue_doubts(
    data: Dataset,
    found: Iterable[tuple[Sequence, Doubt]],
    run: Path,
    facts: Mapping[str, Any],
) -> Counter[str]:
    """Put doubts into the queue; returns how many were new, by kind. A label, or a place, that was asked about before, by
    whatever network and for whatever reason, is not asked about again.

    facts: what the provenance says besides, of all of them.
    """
    new: Counter[str] = Counter()
    with data.transaction():
        asked: dict[tuple[int, int], list[tuple[int | None, Box]]] = {}
        labels: dict[int, set[int]] = {}
        for item in data.queue_items():
            if item.kind not in (TRACK, SAMPLE):
                asked.setdefault((item.sequence_id, item.frame), []).append((item.box_id, item.box))
        for sequence, d in found:
            if sequence.id not in labels:
                live = data.boxes(sequence).values()
                labels[sequence.id] = {b.id for boxes in live for b in boxes if b.label != IGNORE}
            here = asked.setdefault((sequence.id, d.frame), [])
            if _was_asked(d, here, labels[sequence.id]):
                continue
            here.append((d.box_id, d.box))
            what = f"box {d.box_id}" if d.box_id is not None else f"{d.box.x:.1f},{d.box.y:.1f}"
            new[d.kind] += data.enqueue(
                key=f"{d.kind}:{sequence.name}:{d.frame}:{what}",
                kind=d.kind,
                sequence_id=sequence.id,
                frame=d.frame,
                box=d.box,
                score=d.excess / (HALF + d.excess),
                reason=reason(d),
                box_id=d.box_id,
                provenance={
                    "by": "refine",
                    "run": str(run),
                    "loss": round(d.loss, 3),
                    "excess": round(d.excess, 3),
                    "confidence": round(d.found, 4),
                    "around": round(d.around, 3),
                    **facts,
                },
            )
    return +new


def _was_asked(d: Doubt, here: ListOf[tuple[int | None, Box]], labels: Container[int]) -> bool:
    """here: box ids and places of what was asked about on the frame; labels: ids that are live. Of two labels side by side each is asked about."""
    for box_id, box in here:
        if d.box_id is not None and box_id == d.box_id:
            return True
        another = d.box_id is not None and box_id in labels
        if not another and np.hypot(box.x - d.box.x, box.y - d.box.y) <= SAME:
            return True
    return False


def reason(d: Doubt) -> str:
    """In words, with the loss as labelled."""
    says = {
        UNLABELLED: f"the network is {d.found:.0%} sure of {_article(d.box.label)} here, nothing is labelled",
        MISPLACED: f"the network is {d.found:.0%} sure of it {d.away:.1f} px away from the label",
        WRONG_CATEGORY: f"the network takes it for {_article(d.box.label)}",
        LABELLED_BACKGROUND: f"the network sees nothing at this {d.box.label} ({d.found:.0%})",
    }[d.kind]
    around = "agree" if d.around > CLEAR else "do not" if d.around < -CLEAR else ""
    return f"{says}; loss {d.loss:.1f}" + (f"; the labels before and after {around}" if around else "")


def _article(label: str) -> str:
    return f"an {label}" if label[0] in "aeiou" else f"a {label}"


def losses_after(losses: Mapping[int, float], found: Iterable[Doubt]) -> dict[int, float]:
    """The losses of all labels were the proposals accepted: those taken away are gone, those corrected have what is left."""
    after = dict(losses)
    for d in found:
        if d.box_id is None:
            continue
        if d.kind == LABELLED_BACKGROUND:
            after.pop(d.box_id, None)
        else:
            after[d.box_id] = max(d.loss - max(d.excess, 0.0), 0.0)
    return after
