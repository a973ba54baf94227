"""What is common is the network's weakness, not the labels' fault: doubts of a kind that befall many labels of a class weigh less."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from irdim_train.refining.disagreement import Doubt

RARE = 0.01  # share of the labels of a class that may be wrong in one way before it counts as common
STRONG = 1.0  # nats from which a doubt counts


def without_common(doubts: Sequence[Doubt], classes: Mapping[int, str], counts: Mapping[str, int]) -> list[Doubt]:
    """The same doubts with log(rate / RARE) taken off where their kind is commoner than RARE among labels of the class in question.

    classes: label of each box id; counts: labels of each class.
    """

    def of(doubt: Doubt) -> tuple[str, str]:
        return doubt.kind, doubt.box.label if doubt.box_id is None else classes[doubt.box_id]

    rates = _rates((of(d) for d in doubts if d.excess > STRONG), counts)
    return [replace(d, excess=d.excess - max(math.log(rates.get(of(d), RARE) / RARE), 0.0)) for d in doubts]


def _rates(found: Iterable[tuple[str, str]], counts: Mapping[str, int]) -> dict[tuple[str, str], float]:
    return {key: n / max(counts.get(key[1], 0), 1) for key, n in Counter(found).items()}
