"""What the labels say of a place already, so that nobody is asked about it."""

from collections.abc import Iterable

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box, covers, holds
from irdim.dataset import Sequence
from irdim.tracks import MISSED, STILL, Verdict

NEAR = 4.0  # px


def is_unseen(boxes: Iterable[Box], sequence: Sequence) -> bool:
    """Whether nobody has looked at a frame: a region to ignore covers it whole."""
    return any(covers(b, (sequence.height, sequence.width)) for b in boxes)


def is_known(verdict: Verdict, boxes: Iterable[Box], sequence: Sequence) -> bool:
    """Whether the frame's labels answer a verdict: a target or an interference there is labelled, or it is to be ignored.

    A missed target that is labelled is the network's fault, not the labels'; a false alarm on a labelled target is none, and
    on a labelled interference it is known.
    """
    shape = (sequence.height, sequence.width)
    for b in boxes:
        if b.label == IGNORE and not covers(b, shape) and holds(b, verdict.x, verdict.y):
            return True
        answers = (INTERFERENCE,) if verdict.kind == STILL else (TARGET, INTERFERENCE)
        if b.label in answers and (b.x - verdict.x) ** 2 + (b.y - verdict.y) ** 2 <= NEAR**2:
            return True
    return False


def looked_for(verdict: Verdict) -> str:
    """The label that a verdict proposes."""
    return TARGET if verdict.kind == MISSED else INTERFERENCE
