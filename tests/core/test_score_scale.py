"""Scaled scores are the share of hits among their like, and keep their order."""

import numpy as np
import pytest
from scipy.special import expit, logit

from irdim.score_scale import ScoreScale, fit_scale


def drawn(slope: float, offset: float, n: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores and hits for which (slope, offset) is the truth."""
    rng = np.random.default_rng(3)
    scores = expit(rng.normal(2, 4, n))
    return scores, rng.random(n) < expit(slope * logit(scores) + offset)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.4, -2.0), (2.0, 1.0), (0.66, -3.9)])
def test_the_true_scale_is_found(slope: float, offset: float) -> None:
    scale = fit_scale(*drawn(slope, offset))
    assert scale.slope == pytest.approx(slope, rel=0.05)
    assert scale.offset == pytest.approx(offset, abs=0.12)


def test_a_scaled_score_is_the_share_of_hits() -> None:
    scores, hits = drawn(0.4, -2.0)
    scaled = fit_scale(scores, hits)(scores)
    for low in (0.1, 0.3, 0.6):
        here = (scaled >= low) & (scaled < low + 0.1)
        assert hits[here].mean() == pytest.approx(scaled[here].mean(), abs=0.04)


def test_the_order_stays_even_where_hits_score_lower() -> None:
    scores = np.linspace(0.01, 0.99, 200)
    scaled = fit_scale(scores, scores < 0.5)(scores)
    assert (np.diff(scaled) > 0).all()


@pytest.mark.parametrize("hits", [[], [True] * 5, [False] * 5])
def test_without_both_outcomes_scores_stay(hits: list[bool]) -> None:
    assert fit_scale(np.linspace(0.1, 0.9, len(hits)), np.array(hits, bool)) == ScoreScale()


def test_separable_scores_do_not_run_away() -> None:
    scale = fit_scale(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert 0 < scale.slope < 5
    assert abs(scale.offset) < 1


def test_scores_of_0_and_1_stay_finite() -> None:
    assert np.isfinite(ScoreScale(0.5, -1.0)(np.array([0.0, 1.0]))).all()
