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


SHIFTS = st.one_of(st.floats(-6, 6), st.sampled_from([0.0, 1.0, -2.0, 0.5, 31.25, -40.0, 1e4, -1e4]))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_sums_are_those_of_numpy_at_any_size_and_motion(compiled, data):
    height, width = data.draw(st.tuples(st.integers(4, 50), st.integers(4, 60)), "shape")
    top, left = data.draw(st.integers(1, height - 3), "top"), data.draw(st.integers(1, width - 3), "left")
    bottom, right = data.draw(st.integers(top + 1, height - 1)), data.draw(st.integers(left + 1, width - 1))
    dy, dx, side = data.draw(SHIFTS, "dy"), data.draw(SHIFTS, "dx"), data.draw(st.integers(1, 4), "side")
    older, newer = images((height, width), data.draw(st.integers(0, 2**32 - 1)))
    inside = slice(top, bottom), slice(left, right)
    quick, plain = compiled.pair(older, newer, inside), NumpyPair(older, newer, inside)
    scale = float(np.abs(newer).max()) ** 2 * (bottom - top) * (right - left)  # sums of many terms cancel
    np.testing.assert_allclose(quick.slopes(), plain.slopes(), atol=1e-6 * scale)
    (found, variance), (expected, true) = quick.residual(dy, dx), plain.residual(dy, dx)
    np.testing.assert_allclose(found, expected, atol=1e-6 * scale)
    assert variance == pytest.approx(true, rel=1e-4, abs=1e-2)
    np.testing.assert_allclose(quick.shared(dy, dx), plain.shared(dy, dx), atol=1e-6 * scale)
    if bottom - top >= side and right - left >= side:
        gain = quick.gain(dy, dx, side)
        assert gain.dtype == np.float32
        np.testing.assert_allclose(gain, plain.gain(dy, dx, side), atol=1e-5 * float(np.abs(newer).max()) ** 2)


def test_numpys_own_motion_is_scipys():
    older, newer = images((30, 40), 1)
    inside = slice(8, 22), slice(8, 30)
    for dy, dx in ((0.0, 0.0), (0.3, -0.4), (-2.75, 5.5)):
        moved = scipy.ndimage.shift(older.astype(float), (dy, dx), order=1, mode="nearest")
        residual = newer[inside] - moved[inside]
        slopes = [(np.roll(newer, -1, axis) - np.roll(newer, 1, axis))[inside] / 2 for axis in (0, 1)]
        sums, variance = NumpyPair(older, newer, inside).residual(dy, dx)
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
