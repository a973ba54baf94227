"""Scores that mean something: logistic scaling of a network's scores, fitted on validation frames (Platt 1999).

Evidence and small validation sets push raw scores towards 1; scaled, a score of 0.3 means that about three of ten such detections were targets on the
validation frames. The order of detections stays as it is, so no operating point is gained or lost.
"""

from dataclasses import dataclass

import numpy as np
import scipy

CLIP = 1e-9  # raw scores are kept this far from 0 and 1
PRIOR = 4.0  # detections' worth of belief in slope 1, offset 0; what decides where there is little to fit
STEPS = 50


@dataclass(frozen=True)
class ScoreScale:
    """score' = expit(slope * logit(score) + offset); slope > 0."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, scores: np.ndarray | float) -> np.ndarray:
        """Scaled scores, same shape, 0..1."""
        return scipy.special.expit(self.slope * scipy.special.logit(np.clip(scores, CLIP, 1 - CLIP)) + self.offset)


def fit_scale(scores: np.ndarray, hits: np.ndarray) -> ScoreScale:
    """The scale under which `hits` (n,) bool are most likely, by Newton's method with a weak pull to no scaling at all.

    scores: (n,) raw. Where there is no hit or no miss, nothing can be fitted and the scores stay as they are.
    """
    scores, hits = np.asarray(scores, float), np.asarray(hits, bool)
    if hits.all() or not hits.any():
        return ScoreScale()
    z = scipy.special.logit(np.clip(scores, CLIP, 1 - CLIP))
    x = np.stack([z, np.ones_like(z)], axis=1)
    start = np.array([1.0, 0.0])
    at = start.copy()
    for _ in range(STEPS):
        p = scipy.special.expit(x @ at)
        gradient = x.T @ (p - hits) + PRIOR * (at - start)
        curvature = (x * (p * (1 - p))[:, None]).T @ x + PRIOR * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        step /= max(1.0, float(np.abs(step).max()))  # a damped step cannot overshoot from far away
        at -= step
        if np.abs(step).max() < 1e-9:
            break
    return ScoreScale(max(float(at[0]), 0.05), float(at[1]))  # a slope of 0 or less would lose the order
