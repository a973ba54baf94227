"""What a data set's figures suggest: the frame step, and the paper's Table 1 (storage, share of the target) for one's own camera."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from irdim.differencing import STACK
from irdim.wording import number_of

SIZES = (80, 64, 32, 16)  # px, the paper's
HARDLY = 0.1  # px a frame; slower than this a difference shows next to nothing
LONGEST = 12  # frames; a longer step needs more history than a passing target gives
ENOUGH = 20  # clear targets, from which their size is taken instead of their boxes'
HISTORIES = 3  # a sequence that is at least so many times as long as the history is long enough for it
MOST = 0.9  # of the frames, whose sequences must be long enough


def suggest_frame_step(
    boxes: np.ndarray, spots: np.ndarray, speeds: np.ndarray, lengths: Sequence[int]
) -> tuple[int, str]:
    """The step at which the typical target has moved by its own size between neighbours of a stack, and why.

    A difference cancels a target that moves less. boxes: sides of the labels, px; spots: sides of what is above half of a target's height, px, NaN
    where it is not clear (a target's foot reaches twice as far, and boxes are often loose, so these go first where there are enough);
    speeds: px a frame against the background, NaN where unknown; lengths: of the recordings. Those of MOST frames must be long enough for it,
    and it is said how many are not.
    """
    step, why = _step(boxes, spots, speeds, max(_longest(lengths), 1))
    needed = HISTORIES * (STACK - 1) * step
    if short := sum(length < needed for length in lengths):
        why += (
            f"; {short} of {number_of(len(lengths), 'sequence')} {'is' if short == 1 else 'are'} too short for it: "
            f"below {needed} frames, of which more than a third lack full history"
        )
    return step, why


def _longest(lengths: Sequence[int]) -> int:
    """The longest step for which the sequences of MOST frames are long enough."""
    longest_first = np.sort(np.array(lengths, int))[::-1]
    frames = np.cumsum(longest_first)
    if not len(frames):
        return 0
    return int(longest_first[np.searchsorted(frames, MOST * frames[-1])]) // (HISTORIES * (STACK - 1))


def _step(boxes: np.ndarray, spots: np.ndarray, speeds: np.ndarray, longest: int) -> tuple[int, str]:
    speeds, spots = speeds[np.isfinite(speeds)], 2 * spots[np.isfinite(spots)]
    sides = spots if len(spots) >= ENOUGH else boxes
    if not len(speeds) or not len(sides):
        why = "no target is labelled on two frames in a row, so nothing is known of their speed; 4 is a fair start"
        return min(4, longest), why
    side, speed = float(np.median(sides)), float(np.median(speeds))
    if speed < HARDLY:
        step = min(LONGEST, longest)
        return (
            step,
            f"targets of {side:.1f} px move {speed:.2f} px a frame, so little that differences show next to nothing; use an input with the frame",
        )
    step = int(np.clip(np.ceil(side / speed), 1, min(LONGEST, longest)))
    why = f"targets of {side:.1f} px move {speed:.2f} px a frame: after {step} frames by {speed * step:.1f} px"
    if speed * step < side:
        limit = "the sequences' length allows" if step == longest else f"{LONGEST} frames allow"
        why += f", less than their size; {limit} no more"
    return step, why


@dataclass(frozen=True)
class Sizing:
    """One line of Table 1. name: 'full' or a patch size; kilobytes: of a stack of four; per_mille: of its pixels that the median target covers."""

    name: str
    kilobytes: float
    per_mille: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def table_1(shape: tuple[int, int], itemsize: int, area: float | None) -> list[Sizing]:
    """shape: (H, W) of the frames; itemsize: bytes a pixel; area: of the median target, px, None where there is none."""
    sizes = [("full", shape)] + [(str(s), (s, s)) for s in SIZES if s <= min(shape)]
    return [
        Sizing(name, STACK * h * w * itemsize / 1024, None if area is None else 1000 * area / (h * w))
        for name, (h, w) in sizes
    ]
