"""Recordings that nobody has looked at: covered, so that they count for nothing until somebody does."""

from collections.abc import Sequence as ListOf
from fnmatch import fnmatchcase

import numpy as np

from irdim.boxes import IGNORE, TARGET, Box, holds
from irdim.dataset import Dataset, LabelledBox, Sequence
from irdim.dataset.records import TRACK, UNLABELLED
from irdim.fieldlog import SAMPLE
from irdim.tracks import MISSED
from irdim_train.labelling import is_labelled
from irdim_train.mining.known import is_unseen

PROPOSED = (TRACK, MISSED, UNLABELLED)
MARGIN = 2.0  # px around what is proposed
WHO, UNSEEN = "irdim-train iterate", "not looked at yet"


def not_looked_at(data: Dataset, patterns: ListOf[str]) -> list[Sequence]:
    """The training sequences that hold no label, and those that a pattern names."""
    found = []
    for sequence in data.sequences("train"):
        named = any(fnmatchcase(sequence.name, p) for p in patterns)
        if named or not is_labelled(data.boxes(sequence)):
            found.append(sequence)
    return found


def cover_pool(data: Dataset, patterns: ListOf[str]) -> list[str]:
    """Cover the training sequences that hold no label, and of those that a pattern names the frames without one. Returns the names of all with a
    covered frame."""
    names, pool = [], not_looked_at(data, patterns)
    for sequence in data.sequences("train"):
        if sequence in pool:
            labels = data.boxes(sequence)
            cover = Box(sequence.width / 2, sequence.height / 2, float(sequence.width), float(sequence.height), IGNORE)
            with data.transaction():
                for frame in range(sequence.length):
                    if not labels.get(frame):
                        data.add_box(sequence, frame, cover, who=WHO, why=UNSEEN)
        if unseen_frames(data, sequence):
            names.append(sequence.name)
    return names


def open_questions(data: Dataset, pool: ListOf[str]) -> dict[int, dict[int, list[LabelledBox]]]:
    """What is proposed as a target in these recordings and not decided, as places to ignore, by a sequence's id and frame.

    A decision on one track uncovers its frames: another target that is seen there waits for its own decision, and must not be learnt as background.
    """
    sequences = {s.id: s for s in (data.sequence(name) for name in pool)}
    labels = {s.id: data.boxes(s) for s in sequences.values()}
    found: dict[int, dict[int, list[LabelledBox]]] = {}
    for item in data.queue_items("open"):
        if item.sequence_id not in sequences or item.kind not in PROPOSED or item.box.label != TARGET:
            continue
        b = item.box
        for frame, x, y, w, h in (
            item.provenance["points"] if item.kind == TRACK else [(item.frame, b.x, b.y, b.w, b.h)]
        ):
            cover = LabelledBox(x, y, w + 2 * MARGIN, h + 2 * MARGIN, IGNORE)
            here = labels[item.sequence_id].get(frame, [])
            if not any(b.label != IGNORE and holds(cover, b.x, b.y) for b in here):
                found.setdefault(item.sequence_id, {}).setdefault(frame, []).append(cover)
    return found


def unseen_frames(data: Dataset, sequence: Sequence) -> list[int]:
    """Frames that are covered."""
    return [f for f, boxes in data.boxes(sequence).items() if is_unseen(boxes, sequence)]


def queue_random_frames(data: Dataset, pool: ListOf[str], count: int, seed: int) -> list[int]:
    """What a person would label without the loop: whole frames, drawn at random from those that nobody has looked at. Returns the items' ids."""
    moments = [(name, f) for name in pool for f in unseen_frames(data, data.sequence(name))]
    picks = np.random.default_rng(seed).permutation(len(moments))[:count]
    keys = set()
    for name, frame in (moments[i] for i in picks.tolist()):
        s = data.sequence(name)
        keys.add(key := f"{SAMPLE}:{name}:{frame}")
        box = Box(s.width / 2, s.height / 2, float(s.width), float(s.height), IGNORE)
        data.enqueue(
            key=key,
            kind=SAMPLE,
            sequence_id=s.id,
            frame=frame,
            box=box,
            score=0.0,
            reason="drawn at random",
            provenance={"by": "iterate", "detections": []},
        )
    return [i.id for i in data.queue_items("open") if i.key in keys]
