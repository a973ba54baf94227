"""What the labels of one sequence tell, each held against the pixels it lies on."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from irdim.boxes import TARGET, Box
from irdim.scr import ROUNDING, core, local_scr, surroundings
from irdim_train.checking.findings import Finding, cut_around

# px; the SPIE's small target, which is 0.12 % of 256x256. A share would call 5x5 px large in a small frame
LARGEST_AREA = 81.0
CLEAR = 5.0  # local SCR from which a spot can be measured
LOOSE = 3.0  # a box of so many times the spot's sides is far too large,
SPARE = 4.0  # if it is also so many px longer
DOUBLED = 1.0  # px; two targets nearer than this are one, labelled twice
FOOT = 2.0  # px around the box in which a misplaced spot is still looked for


@dataclass
class LabelCheck:
    """Fed with the boxes of each frame. The columns of `targets` are frame, scr, box side, spot side, offset x, offset y (px; NaN where it cannot be
    measured)."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    targets: list[tuple[float, ...]] = field(default_factory=list)
    boxes: int = 0
    _worst: dict[str, tuple[float, int, Finding]] = field(
        default_factory=dict
    )  # by kind: how bad, of how many, the worst

    def push(self, index: int, pixels: np.ndarray, boxes: list[Box]) -> None:
        self.boxes += len(boxes)
        for box in boxes:
            if not (0 <= box.x < pixels.shape[1] and 0 <= box.y < pixels.shape[0]):
                text = f"the {box.label} at ({box.x:.1f}, {box.y:.1f}) lies outside; correct it"
                self._find("outside", abs(box.x) + abs(box.y), index, box, pixels, text)
            elif box.label == TARGET:
                self._look_at_target(index, pixels, box)
        self._look_for_doubles(index, pixels, [box for box in boxes if box.label == TARGET])

    def frames_missing(self, count: int, labelled: list[int]) -> None:
        """After the last frame: labels on frames that are not there."""
        beyond = [f for f in labelled if f >= count]
        if beyond:
            text = f"{self.name}: labels on frames that are not there ({beyond[0]} and {len(beyond) - 1} more; it has {count})"
            self.findings.append(Finding("outside", f"{text}; correct the labels", self.name, beyond[0]))

    def finish(self) -> None:
        """After the last frame: one finding a kind, the worst, with the number of all."""
        for _, count, worst in self._worst.values():
            more = "" if count == 1 else f"; the worst of {count} in this sequence"
            self.findings.append(replace(worst, text=worst.text + more))

    def _look_for_doubles(self, index: int, pixels: np.ndarray, targets: list[Box]) -> None:
        for n, box in enumerate(targets):
            if any(np.hypot(box.x - other.x, box.y - other.y) < DOUBLED for other in targets[:n]):
                text = f"two labels of the target at ({box.x:.1f}, {box.y:.1f}); remove one of them"
                self._find("doubled", 0.0, index, box, pixels, text)

    def _look_at_target(self, index: int, pixels: np.ndarray, box: Box) -> None:
        scr, spot, offset = measure_spot(pixels, box)
        side = float(np.sqrt(box.w * box.h))
        self.targets.append((index, scr, side, spot, *offset))
        if (area := box.w * box.h) > LARGEST_AREA:
            text = f"a box of {box.w:.0f}x{box.h:.0f} px is over the limit of small targets, {LARGEST_AREA:g} px"
            self._find("large target", area, index, box, pixels, text)
        if side > LOOSE * spot and side > spot + SPARE:
            text = f"a box of {box.w:.0f}x{box.h:.0f} px around a target of about {spot:.0f} px; fit it to the target"
            self._find("large box", side / spot, index, box, pixels, text)

    def _find(self, kind: str, badness: float, frame: int, box: Box, pixels: np.ndarray, text: str) -> None:
        worst, count, found = self._worst.get(kind, (-np.inf, 0, None))
        if badness > worst or found is None:
            picture, there = cut_around(pixels, box)
            found = Finding(kind, f"{self.name}, frame {frame}: {text}", self.name, frame, picture, there)
        self._worst[kind] = max(worst, badness), count + 1, found


def measure_spot(pixels: np.ndarray, box: Box) -> tuple[float, float, tuple[float, float]]:
    """Local SCR; side of the spot, px (square root of its pixels above half of its height); centroid less label centre (x, y), px.

    The last two are NaN where the spot is not clear. pixels: (H, W) counts.
    """
    nothing = (float("nan"), (float("nan"), float("nan")))
    mean, sigma = surroundings(pixels, box)
    if np.isnan(mean):
        return float("nan"), *nothing
    rows, columns = core(pixels.shape, Box(box.x, box.y, box.w + 2 * FOOT, box.h + 2 * FOOT))
    window = pixels[rows, columns].astype(np.float64) - mean
    scr = local_scr(pixels, box)
    peak = window.flat[np.abs(window).argmax()]
    if abs(peak) < CLEAR * max(sigma, ROUNDING):
        return scr, *nothing
    _, marks = cv2.connectedComponents((window / peak > 0.5).astype(np.uint8))
    spot = marks == marks.flat[np.abs(window).argmax()]
    weights = np.where(cv2.dilate(spot.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0, window / peak, 0).clip(0)
    y, x = np.mgrid[rows, columns] + 0.5
    centroid = (float((weights * x).sum() / weights.sum()), float((weights * y).sum() / weights.sum()))
    return scr, float(np.sqrt(spot.sum())), (centroid[0] - box.x, centroid[1] - box.y)
