"""What a data set's figures suggest: the frame step, and the paper's Table 1 (storage, share of the target) for one's own camera."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from irdim.differencing import STACK

SIZES = (80, 64, 32, 16)  # px, the paper's
HARDLY = 0.1  # px a frame; slower than this a difference shows next to nothing
LONGEST = 12  # frames; a longer step needs more history than a passing target gives
ENOUGH = 20  # clear targets, from which their size is taken instead of their boxes'
SHARE = 1 / 3  # of a sequence that may go into history


def suggest_frame_step(
    boxes: np.ndarray, spots: np.ndarray, speeds: np.ndarray, lengths: Sequence[int]
) -> tuple[int, str]:
    """The step at which the typical target has moved by its own size between neighbours of a stack, and why.

    A difference cancels a target that moves less. boxes: sides of the labels, px; spots: sides of what is above half of a target's height, px, NaN
    where it is not clear (a target's foot reaches twice as far, and boxes are often loose, so these go first where there are enough);
    speeds: px a frame against the background, NaN where unknown; lengths: of the recordings.
    """
    speeds, spots = speeds[np.isfinite(speeds)], 2 * spots[np.isfinite(spots)]
    sides = spots if len(spots) >= ENOUGH else boxes
    history = max(int(SHARE * (min(lengths) if lengths else 1) / (STACK - 1)), 1)
    if not len(speeds) or not len(sides):
        return min(
            4, history
        ), "no target is labelled on two frames in a row, so nothing is known of their speed; 4 is a fair start"
    side, speed = float(np.median(sides)), float(np.median(speeds))
    if speed < HARDLY:
        step = min(LONGEST, history)
        return (
            step,
            f"targets of {side:.1f} px move {speed:.2f} px a frame, so little that differences show next to nothing; use an input with the frame",
        )
    step = int(np.clip(np.ceil(side / speed), 1, min(LONGEST, history)))
    why = f"targets of {side:.1f} px move {speed:.2f} px a frame: after {step} frames by {speed * step:.1f} px"
    if speed * step < side:
        limit = "the shortest sequence's length" if step == history else f"{LONGEST} frames"
        why += f", less than their size; {limit} allows no more"
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
