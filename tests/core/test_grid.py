import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irdim.grid import CHANNELS, CONFIDENCE, FIRST_CLASS, decode, pad_to_stride


def empty(h=6, w=8):
    output = np.zeros((CHANNELS, h, w), np.float32)
    output[CONFIDENCE:] = -20
    return output


def put(output, row, column, x=0.5, y=0.5, confidence=4.0, label=0):
    output[:4, row, column] = x, y, 0, np.log(0.5)
    output[CONFIDENCE, row, column] = confidence
    output[FIRST_CLASS + label, row, column] = 20


def test_a_cell_is_read_as_centre_size_score_and_label():
    output = empty()
    put(output, 2, 3, x=0.25, y=0.75)
    put(output, 5, 7, confidence=1.0, label=1)
    first, second = decode(output, 8, 0.1)
    assert (first.x, first.y) == pytest.approx((26, 22))
    assert (first.w, first.h) == pytest.approx((8, 4))
    assert first.score == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-6)
    assert (first.label, second.label) == ("target", "interference")


def test_of_two_near_each_other_the_stronger_stays():
    output = empty()
    put(output, 2, 3, x=0.9)
    put(output, 2, 4, x=-0.05, confidence=5)  # the same place, said by the neighbour
    put(output, 2, 6)
    assert [round(d.x, 1) for d in decode(output, 8, 0.1)] == [31.6, 52.0]


@pytest.mark.parametrize(("side", "label", "found"), [(18, 0, 1), (10, 0, 2), (18, 1, 2)])
def test_a_weaker_one_inside_the_box_is_about_the_same_target(side, label, found):
    output = empty()
    put(output, 2, 3, confidence=6)
    output[2:4, 2, 3] = np.log(side / 8)
    put(output, 2, 4, x=0.4, label=label)
    assert len(decode(output, 8, 0.1)) == found


def test_detections_beyond_the_frame_are_left_out():
    output = empty()
    put(output, 5, 7)
    assert len(decode(output, 8, 0.1, (48, 64))) == 1
    assert decode(output, 8, 0.1, (40, 64)) == []


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_decoding_is_the_slow_obvious_one(seed, threshold):
    rng = np.random.default_rng(seed)
    output = rng.normal(0, 1.5, (CHANNELS, 5, 5)).astype(np.float32)
    kept = []
    cells = []
    for r in range(5):
        for c in range(5):
            v = output[:, r, c].astype(float)
            p = 1 / (1 + np.exp(-v[FIRST_CLASS:]))
            score = p.max() / (1 + np.exp(-v[CONFIDENCE]))
            side = np.sqrt(np.exp(v[2]) * np.exp(v[3])) * 8
            place = (c + np.clip(v[0], -0.5, 1.5)) * 8, (r + np.clip(v[1], -0.5, 1.5)) * 8
            cells.append((score, *place, p.argmax(), side))
    for score, x, y, kind, side in sorted(cells, reverse=True):
        near = [max(4, s / 2 * (k == kind)) for *_, k, s in kept]
        if score >= threshold and all(np.hypot(x - c[1], y - c[2]) >= n for c, n in zip(kept, near, strict=True)):
            kept.append((score, x, y, kind, side))
    found = decode(output, 8, threshold)
    assert len(found) == len(kept)
    assert np.allclose([(d.score, d.x, d.y) for d in found], [c[:3] for c in kept], atol=1e-4)


@pytest.mark.parametrize(("threshold", "found"), [(0.0, 35), (0.5, 1), (0.999999, 1), (1.1, 0)])
def test_a_threshold_may_be_extreme(threshold, found):
    output = empty(5, 7)
    output[CONFIDENCE] = -3
    put(output, 2, 3, confidence=16.0)
    assert len(decode(output, 8, threshold)) == found


def test_no_more_are_kept_than_asked_for():
    output = empty(20, 20)
    for i in range(400):
        put(output, *divmod(i, 20), confidence=2 + i / 400)
    assert [len(decode(output, 8, 0.1, most=most)) for most in (7, None)] == [7, 400]
    assert len(decode(output, 8, 0.1)) == 200


def test_frames_are_padded_to_the_stride_with_zeros():
    padded = pad_to_stride(np.ones((3, 206, 270), np.float32), 8)
    assert padded.shape == (3, 208, 272)
    assert padded[:, 206:].max() == padded[:, :, 270:].max() == 0
