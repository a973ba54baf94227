"""What registration sums over pixels, compiled, held against NumPy; and what happens where it cannot be compiled."""

import logging

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from test_registration import moved_scene

from irdim.native.compiler import Unavailable, compile_native, own_library
from irdim.registration import estimate_shift, kernels, texture
from irdim.registration.kernels import SAME, NativeKernels, NumpyKernels, NumpyPair, difference, the_kernels


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    try:
        return NativeKernels(compile_native(tmp_path_factory.mktemp("native")))
    except Unavailable as error:
        pytest.skip(f"nothing can be compiled here: {error}")


@pytest.fixture
def anew():
    """What this process has found out about its compiler is forgotten, before and after."""
    the_kernels.cache_clear()
    own_library.cache_clear()
    yield
    the_kernels.cache_clear()
    own_library.cache_clear()


def images(shape, seed):
    return np.random.default_rng(seed).normal(3, 40, (2, *shape)).astype(np.float32)


class SlowPair(NumpyPair):
    """The slow, obvious one: each pixel between its four neighbours in the older image, whose border is repeated."""

    def _moved(self, dy, dx, inside=None):
        y, x = (np.arange(s.start, s.stop) - d for s, d in zip(inside or self._inside, (dy, dx), strict=True))
        rows, columns = np.floor(y).astype(int), np.floor(x).astype(int)
        part_y, part_x = (y - rows)[:, None], x - columns
        height, width = self._older.shape

        def at(down, right):
            return self._older[
                rows.clip(-down, height - 1 - down)[:, None] + down, columns.clip(-right, width - 1 - right) + right
            ]

        above = at(0, 0) * (1 - part_x) + at(0, 1) * part_x
        below = at(1, 0) * (1 - part_x) + at(1, 1) * part_x
        return (above * (1 - part_y) + below * part_y).astype(np.float32)


def alike(pair, slow, motion, side, scale, near=1e-6):
    """scale: of a pixel's square and of the sums of them, which cancel; near: share of it."""
    square, total = scale
    np.testing.assert_allclose(pair.slopes(), slow.slopes(), atol=near * total)
    (found, variance), (expected, true) = pair.residual(*motion), slow.residual(*motion)
    np.testing.assert_allclose(found, expected, atol=near * total)
    assert variance == pytest.approx(true, rel=1e-4, abs=1e-2)
    np.testing.assert_allclose(pair.shared(*motion), slow.shared(*motion), atol=near * total)
    gain = pair.gain(*motion, side)
    assert gain.dtype == np.float32
    np.testing.assert_allclose(gain, slow.gain(*motion, side), atol=10 * near * square)


SHIFTS = st.one_of(st.floats(-6, 6), st.sampled_from([0.0, 1.0, -2.0, 0.5, 31.25, -40.0, 1e4, -1e4]))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_sums_are_the_slow_obvious_ones_at_any_size_and_motion(compiled, data):
    height, width = data.draw(st.tuples(st.integers(4, 50), st.integers(4, 60)), "shape")
    top, left = data.draw(st.integers(1, height - 3), "top"), data.draw(st.integers(1, width - 3), "left")
    bottom, right = data.draw(st.integers(top + 1, height - 1)), data.draw(st.integers(left + 1, width - 1))
    side = data.draw(st.integers(1, min(4, bottom - top, right - left)), "side")
    motion = data.draw(SHIFTS, "dy"), data.draw(SHIFTS, "dx")
    older, newer = images((height, width), data.draw(st.integers(0, 2**32 - 1)))
    square, inside = float(np.abs(newer).max()) ** 2, (slice(top, bottom), slice(left, right))
    scale = square, square * (bottom - top) * (right - left)
    alike(compiled.pair(older, newer, inside), SlowPair(older, newer, inside), motion, side, scale)


@given(*[st.integers(40, 70)] * 2, *[st.floats(-8, 8)] * 2, st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_so_are_those_of_numpy_and_opencv_where_both_frames_are(height, width, dy, dx, side, seed):
    older, newer = images((height, width), seed)
    square, inside = float(np.abs(newer).max()) ** 2, (slice(10, height - 11), slice(11, width - 10))
    scale = square, square * (height - 21) * (width - 21)
    pairs = (of(older, newer, inside) for of in (NumpyPair, SlowPair))
    alike(*pairs, (dy, dx), side, scale, near=1e-5)  # OpenCV has its places in float32


def test_the_slow_obvious_motion_is_scipys():
    older, newer = images((30, 40), 1)
    inside = slice(8, 22), slice(8, 30)
    for dy, dx in ((0.0, 0.0), (0.3, -0.4), (-2.75, 5.5)):
        moved = scipy.ndimage.shift(older.astype(float), (dy, dx), order=1, mode="nearest")
        residual = newer[inside] - moved[inside]
        slopes = [(np.roll(newer, -1, axis) - np.roll(newer, 1, axis))[inside] / 2 for axis in (0, 1)]
        sums, variance = SlowPair(older, newer, inside).residual(dy, dx)
        np.testing.assert_allclose(sums, [(slope * residual).sum() for slope in slopes], rtol=1e-3, atol=20)
        assert variance == pytest.approx(residual.var(), rel=1e-4)


@pytest.mark.parametrize("shape", [(7, 9), (64, 41)])
def test_a_whitened_cross_spectrum_is_numpys(compiled, shape):
    newer, older = (np.fft.rfft2(image).astype(np.complex64) for image in images(shape, 2))
    np.testing.assert_allclose(compiled.whitened(newer, older), NumpyKernels().whitened(newer, older), atol=1e-5)


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_a_spectrum_without_strength_or_end_has_no_cross_spectrum(compiled, value):
    spectrum = np.full((5, 6), value, np.complex64)
    with np.errstate(invalid="ignore"):
        assert NumpyKernels().whitened(spectrum, spectrum) is None
    assert compiled.whitened(spectrum, spectrum) is None


@pytest.mark.parametrize("shift", [(0.3, -0.4), (-4.2, 3.7), (17.6, -31.3)])
@pytest.mark.parametrize("shape", [(160, 200), (512, 640)])
def test_both_find_the_same_motion(compiled, monkeypatch, shape, shift):
    pair = [texture(frame) for frame in moved_scene(shift, shape=shape)]
    found = []
    for one in (compiled, NumpyKernels()):
        monkeypatch.setattr("irdim.registration.translation.the_kernels", lambda one=one: one)
        found.append(estimate_shift(*pair))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
    np.testing.assert_allclose(found[0], shift, atol=0.06)


def test_without_a_compiler_numpy_does_it_and_the_log_says_why(anew, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with caplog.at_level(logging.INFO, "irdim.native"):
        assert isinstance(the_kernels(), NumpyKernels)
    assert "no C compiler" in caplog.text


class Strong(NativeKernels):
    def whitened(self, newer, older):
        return super().whitened(newer, older) * np.complex64(1 + 2 * SAME)


class NoNumber(NativeKernels):
    def pair(self, older, newer, inside):
        pair = super().pair(older, newer, inside)
        right = pair.shared
        pair.shared = lambda dy, dx: right(dy, dx) * np.nan
        return pair


@pytest.mark.parametrize("off", [Strong, NoNumber])
def test_ones_that_compute_something_else_are_not_used(anew, compiled, monkeypatch, caplog, off):
    monkeypatch.setattr(kernels, "NativeKernels", off)
    with caplog.at_level(logging.INFO, "irdim.native"):
        assert isinstance(the_kernels(), NumpyKernels)
    assert "differs from NumPy" in caplog.text


def test_what_is_compiled_here_is_the_same_by_far(compiled):
    assert difference(compiled, NumpyKernels()) < SAME / 100
