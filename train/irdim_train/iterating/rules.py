"""Rules that decide in a person's place, where the user named one. Each decision is recorded with the rule's name."""

from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Sequence as ListOf

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box
from irdim.dataset import Dataset, QueueItem, Sequence
from irdim.dataset.queue import SAME
from irdim.dataset.records import LABELLED_BACKGROUND, MISPLACED, TRACK, WRONG_LABELS
from irdim.errors import InputError
from irdim.fieldlog import SAMPLE
from irdim.tracks import MISSED

NEAR = 4.0  # px; a truth this near is what an item is about
RIGHT = 1.0  # px; a label this near to its truth is right
BESIDE = 10.0  # px; how far from a misplaced label its target is looked for
SURE = 0.8  # of a track's score, from which network and tracker agree
AROUND = 0.4  # from which the labels before and after agree with a proposal
Decision = tuple[str, Box | None]


def decide_by(rule: str, data: Dataset, items: Iterable[QueueItem], truth: Dataset | None = None) -> Counter[str]:
    """Decide the items that the rule has an answer to, each in its own transaction. Returns how often each decision fell."""
    answer = oracle(data, truth) if truth is not None else {"agree": agree, "loss": by_loss}[rule]
    decided: Counter[str] = Counter()
    for item in items:
        with data.transaction():
            found = answer(item)
            if found is None or not _still_stands(data, item):
                continue
            decision, box = found
            data.decide(item.id, decision, who=f"rule: {rule}", why="iterate", box=box)
            decided[decision] += 1
    return decided


def agree(item: QueueItem) -> Decision | None:
    """Accept where all that can speak agree: of a track its detections over nearly all of its frames, and the network that was trained without
    its scene where there are folds; of a label that network (the run's own where there are no folds) and the labels before and after. Else leave it open."""
    if item.kind == TRACK:
        return ("accept", None) if item.score >= SURE and item.provenance.get("out_of_fold", True) else None
    if item.kind in WRONG_LABELS:
        return ("accept", None) if item.provenance.get("around", 0.0) >= AROUND else None
    return None


def by_loss(item: QueueItem) -> Decision | None:
    """Accept every proposal that the loss makes."""
    return ("accept", None) if item.kind in WRONG_LABELS else None


def oracle(data: Dataset, truth: Dataset) -> Callable[[QueueItem], Decision]:
    """Decides as a data set says whose labels are right. It is matched by the frames' digest."""
    sequences = {s.id: s for s in data.sequences()}
    known: dict[int, dict[int, list[Box]]] = {}

    def boxes(item: QueueItem, frame: int) -> list[Box]:
        if item.sequence_id not in known:
            there = in_truth(truth, sequences[item.sequence_id])
            known[item.sequence_id] = {
                f: [Box(b.x, b.y, b.w, b.h, b.label) for b in of if b.label != IGNORE]
                for f, of in truth.boxes(there).items()
            }
        return known[item.sequence_id].get(frame, [])

    def answer(item: QueueItem) -> Decision:
        if item.kind == SAMPLE:
            for b in boxes(item, item.frame):
                data.add_box(sequences[item.sequence_id], item.frame, b, who="rule: oracle", why="iterate")
            return "accept", None
        if item.kind == TRACK:
            return _track(item, boxes), None
        here = boxes(item, item.frame)
        at = _nearest(here, item.box, NEAR)
        if item.box_id is None or item.kind not in WRONG_LABELS:
            return (at.label, at) if at else ("background", None)
        at = at or (_nearest(here, item.box, BESIDE) if item.kind in (MISPLACED, LABELLED_BACKGROUND) else None)
        if at and _is_labelled_so(data, sequences[item.sequence_id], item, at):
            return "reject", None
        return (at.label, at) if at else ("background", None)

    return answer


def in_truth(truth: Dataset, sequence: Sequence) -> Sequence:
    """The sequence of the same frames. Raises InputError where the truth has none."""
    there = truth.sequence_with(sequence.digest)
    if there is None:
        raise InputError(
            f"{truth.path}: holds no sequence with the frames of '{sequence.name}'; the oracle must know all of them"
        )
    return there


def _is_labelled_so(data: Dataset, sequence: Sequence, item: QueueItem, at: Box) -> bool:
    """Whether the label in question is right as it is."""
    label = next((b for b in data.boxes(sequence).get(item.frame, []) if b.id == item.box_id), None)
    return label is not None and label.label == at.label and _nearest([label], at, RIGHT) is not None


def _track(item: QueueItem, boxes: Callable[[QueueItem, int], list[Box]]) -> str:
    points = item.provenance["points"]
    seen: Counter[str] = Counter()
    for frame, x, y, w, h in points:
        at = _nearest(boxes(item, int(frame)), Box(x, y, w, h), NEAR)
        seen[at.label if at else "nothing"] += 1
    label, often = seen.most_common(1)[0]
    return label if label in (TARGET, INTERFERENCE) and often > len(points) / 2 else "reject"


def _nearest(boxes: ListOf[Box], to: Box, reach: float) -> Box | None:
    near = [(((b.x - to.x) ** 2 + (b.y - to.y) ** 2), n) for n, b in enumerate(boxes)]
    distance, n = min(near, default=(float("inf"), 0))
    return boxes[n] if distance <= reach**2 else None


def _still_stands(data: Dataset, item: QueueItem) -> bool:
    """Whether what an item asks about was not answered by another one since: its label is gone, or its miss is labelled."""
    sequence = next(s for s in data.sequences() if s.id == item.sequence_id)
    here = data.boxes(sequence).get(item.frame, [])
    if item.box_id is not None:
        return any(b.id == item.box_id for b in here)
    if item.kind in (MISSED, *WRONG_LABELS):
        return _nearest([b for b in here if b.label != IGNORE], item.box, SAME) is None
    return True
