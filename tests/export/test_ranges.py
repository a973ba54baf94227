"""Clips of least square error, against trying every clip on the values themselves."""

import numpy as np
import pytest

from irdim_calibration.ranges import (
    BINS,
    CLIPS,
    best_clip,
    entropy_clip,
    histograms,
    least_square_ranges,
    percentile_clip,
    percentile_ranges,
)


def lost(values: np.ndarray, clip: float) -> float:
    """Mean square error of symmetric INT8 with this clip, value by value."""
    step = clip / 127
    return float(np.mean((values - np.clip(np.rint(values / step), -127, 127) * step) ** 2))


@pytest.mark.parametrize("outliers", [0, 5, 500])
def test_the_clip_loses_hardly_more_than_the_best_of_all(outliers):
    rng = np.random.default_rng(outliers)
    values = np.concatenate([rng.normal(0, 1, 100_000), rng.uniform(20, 40, outliers)])
    most = np.abs(values).max()
    found = best_clip(np.histogram(np.abs(values), BINS, (0, most))[0].astype(float), most)
    assert lost(values, found) < 1.03 * min(lost(values, share * most) for share in CLIPS)


def test_few_outliers_are_clipped_and_many_are_kept():
    rng = np.random.default_rng(0)
    bulk = rng.normal(0, 1, 1_000_000)
    clips = {}
    for n in (1, 100_000):
        values = np.abs(np.concatenate([bulk, np.full(n, 60.0)]))
        clips[n] = best_clip(np.histogram(values, BINS, (0, 60.0))[0].astype(float), 60.0)
    assert clips[1] < 40
    assert clips[100_000] > 55


def divergence(values: np.ndarray, clip: float) -> float:
    """Kullback-Leibler divergence, from fine bins to 128 steps, bin by bin."""
    width = values.max() / BINS
    counts = np.zeros(round(clip / width))
    for value in values:
        counts[min(int(value / width), len(counts) - 1)] += 1
    inside = counts.copy()
    inside[-1] -= (values >= clip).sum()  # what was clipped is not known to the steps
    q = np.zeros(len(counts))
    steps = [[b for b in range(len(counts)) if b * 128 // len(counts) == s and inside[b] > 0] for s in range(128)]
    for of in steps:
        for b in of:
            q[b] = sum(inside[other] for other in of) / len(of)
    p, q = counts + 1e-3, q + 1e-3
    p, q = p / p.sum(), q / q.sum()
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)))


def test_the_entropy_clip_leaves_the_distribution_most_like_itself():
    rng = np.random.default_rng(1)
    values = np.abs(np.concatenate([rng.normal(0, 1, 20_000), rng.uniform(20, 40, 3)]))
    counts = np.histogram(values, BINS, (0, values.max()))[0].astype(float)
    found = entropy_clip(counts, values.max())
    some = [share * values.max() for share in CLIPS[::16]]
    assert found < values.max() / 4
    assert divergence(values, found) < 1.05 * min(divergence(values, clip) for clip in some)


def test_the_percentile_is_that_of_the_values():
    values = np.abs(np.random.default_rng(0).normal(0, 1, 1_000_000))
    counts = np.histogram(values, BINS, (0, values.max()))[0].astype(float)
    assert percentile_clip(counts, values.max()) == pytest.approx(
        np.percentile(values, 99.999), abs=2 * values.max() / BINS
    )
    assert percentile_clip(np.ones(BINS), 5.0) == 5.0


@pytest.mark.parametrize("read", [least_square_ranges, percentile_ranges])
def test_every_tensor_of_a_graph_gets_a_range(small_bundle, read):
    inputs = np.random.default_rng(0).normal(0, 2, (20, 4, 32, 32)).astype(np.float32)
    clips = read(histograms(small_bundle / "model.onnx", inputs))
    assert len(clips) >= 9
    assert all(np.isfinite(c) and c > 0 for c in clips.values())
