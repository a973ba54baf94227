"""What a detection gains from its past: track-before-detect on the scores, one frame at a time and never looking ahead.

A dim target is sure in few single frames but faintly there in most; noise is there once. So each detection hands its evidence to those that follow it
near by: along the best chain, E(t) = max(0, logit s(t) + BASE + DECAY * E(t - 1)), and a detection with a past is scored
logit s'(t) = logit s(t) + WEIGHT * E(t - 1), by how far it lies from where the chain was (dynamic programming as in Barniv 1985, on scores instead of pixels).
Camera motion is taken out first. The numbers hold for scores of a calibrated network and were chosen on validation scenes.
"""

import dataclasses

import numpy as np
import scipy

from irdim.boxes import Detection

BASE = 2.0  # added to a score's logit: evidence grows from a score of 12 %
DECAY = 0.9  # share of the evidence that is left one frame later
WEIGHT = 0.5  # how much of it a detection's own score takes up
MOST = 8.0  # evidence that a chain can hold: what clutter says again and again is said once, and a target must still be seen to be reported
REACH = 2.0  # px; scatter of a detected centre from frame to frame
SPEED = 2.0  # px a frame, relative to the background
MEMORY = 6  # frames that a chain outlives its last detection


class Evidence:
    """Chains of detections, fed frame by frame."""

    def __init__(self) -> None:
        self._chains = np.zeros((0, 4))  # age, x, y, evidence

    def reset(self) -> None:
        """Forget the past (a new sequence, or a gap)."""
        self._chains = np.zeros((0, 4))

    def update(self, detections: list[Detection], shift: tuple[float, float]) -> list[Detection]:
        """The frame's detections with their past in their scores, best first. shift: camera motion (dy, dx) in px since the frame before."""
        past = self._chains[self._chains[:, 0] < MEMORY] + (1.0, shift[1], shift[0], 0.0)
        own = scipy.special.logit(np.clip([d.score for d in detections], 1e-4, 1 - 1e-4))
        places = np.array([(d.x, d.y) for d in detections]).reshape(-1, 2)
        inherited = _inherited(places, past)
        evidence = np.clip(own + BASE + DECAY * inherited, 0, MOST)
        now = np.column_stack([np.zeros(len(places)), places, evidence])
        self._chains = np.concatenate([past, now])
        scores = scipy.special.expit(own + WEIGHT * inherited)
        rescored = [dataclasses.replace(d, score=float(s)) for d, s in zip(detections, scores, strict=True)]
        return sorted(rescored, key=lambda d: -d.score)


def _inherited(places: np.ndarray, past: np.ndarray) -> np.ndarray:
    """For each place (n, 2), the most evidence that a chain hands on to it; 0 where none is near. past: (m, 4)."""
    if not len(past) or not len(places):
        return np.zeros(len(places))
    age, evidence = past[:, 0], past[:, 3]
    reach = REACH + SPEED * age
    distance = np.hypot(places[:, None, 0] - past[None, :, 1], places[:, None, 1] - past[None, :, 2]) / reach
    handed = evidence * DECAY ** (age - 1) - 0.5 * distance**2
    return np.max(np.where(distance <= 1, handed, 0), axis=1, initial=0.0)
