"""Doubts into the review queue, each once, with a reason that a person can read."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import Box
from irdim.dataset import Dataset, Sequence
from irdim.dataset.records import LABELLED_BACKGROUND, MISPLACED, UNLABELLED, WRONG_CATEGORY
from irdim_train.refining.disagreement import Doubt

SAME = 3.0  # px between two proposals of one thing
CLEAR = 0.4  # of -1..1, from which the labels around are said to agree, or not to
HALF = 4.0  # nats that make a score of a half


def enqueue_doubts(
    data: Dataset,
    found: Iterable[tuple[Sequence, Doubt]],
    run: Path,
    facts: Mapping[str, Any],
) -> Counter[str]:
    """Put doubts into the queue; returns how many were new, by kind. A label, or a place, that was asked about before is not asked about again.

    facts: what the provenance says besides, of all of them.
    """
    new: Counter[str] = Counter()
    with data.transaction():
        asked: dict[tuple[int, int], list[Box]] = {}
        for item in data.queue_items():
            if item.kind == UNLABELLED:
                asked.setdefault((item.sequence_id, item.frame), []).append(item.box)
        for sequence, d in found:
            here = asked.setdefault((sequence.id, d.frame), [])
            if d.kind == UNLABELLED:
                if any(np.hypot(b.x - d.box.x, b.y - d.box.y) <= SAME for b in here):
                    continue
                here.append(d.box)
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
