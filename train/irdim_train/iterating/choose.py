"""Which open items are worth a decision: valuable ones, and not all of one kind from one recording."""

import math
from collections import Counter

from irdim.dataset import QueueItem
from irdim.dataset.records import TRACK, WRONG_LABELS
from irdim.tracks import VERDICTS

OURS = (*WRONG_LABELS, *VERDICTS, TRACK)


def choose_items(items: list[QueueItem], budget: int) -> list[QueueItem]:
    """At most `budget` open items, the next best one at a time: its score, times the logarithm of the frames that it decides, over one more
    than how many of its kind were taken from its sequence."""
    left = [i for i in items if i.kind in OURS and i.state == "open"]
    taken: Counter[tuple[int, str]] = Counter()
    chosen: list[QueueItem] = []
    while left and len(chosen) < budget:
        best = max(left, key=lambda i: (value(i) / (1 + taken[i.sequence_id, i.kind]), -i.id))
        left.remove(best)
        chosen.append(best)
        taken[best.sequence_id, best.kind] += 1
    return chosen


def value(item: QueueItem) -> float:
    """What a decision is worth: its score; of a track, for all of its frames."""
    frames = len(item.provenance["points"]) if item.kind == TRACK else 1
    return item.score * (1 + math.log2(frames))
