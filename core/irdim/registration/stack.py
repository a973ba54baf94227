"""The shifts of a stack from the motions between its frames."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Motion = Callable[[T, T], tuple[float, float]]  # from the older frame to the newer, as `estimate_shift`


def stack_shifts(stack: Sequence[T], link: Motion[T], direct: Motion[T]) -> np.ndarray:
    """(n - 1, 2) float32 px: content motion (dy, dx) from each older frame to the newest.

    stack: n frames, newest first; link: the motion between neighbours; direct: between any two. Where the links are found their sum is taken: in a sequence all
    but one of a stack are those of the stack before, and neighbours lie nearer each other. Where one is not (a bad frame, a drift too slow to be told from
    noise between neighbours), the older frame is held against the newest itself.
    """
    links = np.array([link(older, newer) for newer, older in pairwise(stack)])
    shifts = np.cumsum(links, axis=0)
    lost = np.logical_or.accumulate(~links.any(axis=1))
    for k in np.flatnonzero(lost[1:]) + 1:  # the first link is direct
        found = direct(stack[k + 1], stack[0])
        shifts[k] = found if any(found) else shifts[k]
    return shifts.astype(np.float32)
