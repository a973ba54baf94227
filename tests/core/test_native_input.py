"""The compiled input step, held against NumPy, and what happens where it cannot be compiled."""

import contextlib
import logging
import stat
import subprocess

import numpy as np
import pytest
from cuda_cases import SCENES, SHIFTS, random_stack
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim.differencing import CHANNELS, NO_SHIFT, STACK, InputSpec, network_input, noise_scale, planes
from irdim.grid import pad_to_stride
from irdim.native import input as step
from irdim.native.compiler import Unavailable, compile_native, own_library, sound_library
from irdim.native.input import native, native_histogram, native_input, padded_input
from irdim.noise import histogram


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    try:
        return compile_native(tmp_path_factory.mktemp("native"))
    except Unavailable as error:
        pytest.skip(f"no native input step here: {error}")


@pytest.fixture
def anew():
    """What this process has found out about its compiler is forgotten, before and after."""
    native.cache_clear()
    own_library.cache_clear()
    yield
    native.cache_clear()
    own_library.cache_clear()


def check(library, stack, spec, shifts, stride=8):
    """Within 1e-5 with sigma given and with sigma estimated, padding included."""
    sigma = noise_scale(planes(stack, spec, shifts), spec)
    for given_sigma in (sigma, None):
        expected = pad_to_stride(network_input(stack, spec, shifts, given_sigma), stride)
        found = native_input(library, stack, spec, shifts, stride, given_sigma)
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", CHANNELS)
def test_the_compiled_step_gives_what_numpy_gives(library, kind, dtype, scene):
    stack = SCENES[scene]((67, 93), dtype)
    check(library, stack, InputSpec(kind, 2), NO_SHIFT)
    check(library, stack, InputSpec(kind, 1, True), SHIFTS)


PARTS = st.one_of(st.floats(-3, 3, width=32), st.sampled_from([-0.5, 0.5, 1.5, 31.0, -60.25, 500.0, -1e6, 1e-6]))


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 60), st.integers(1, 70)),
    st.lists(PARTS, min_size=6, max_size=6),
    st.sampled_from(sorted(CHANNELS)),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([1, 8, 16]),
)
@settings(max_examples=100, deadline=None)
def test_it_does_so_at_any_size_and_shift(library, seed, shape, shifts, kind, dtype, stride):
    shifts = np.array(shifts, np.float32).reshape(STACK - 1, 2)
    check(library, random_stack(shape, dtype, seed), InputSpec(kind, 1, True), shifts, stride)


def test_a_frame_of_the_usual_size_whose_noise_is_read_from_a_sample(library):
    check(library, random_stack((512, 640), np.uint16, 4), InputSpec("difference+frame", 1, True), SHIFTS)


def test_frames_that_are_views_of_something_larger_are_read_as_they_look(library):
    wide = random_stack((90, 140), np.uint16, 5)
    check(library, wide[:, ::-1, 10:121:2], InputSpec("difference+frame"), NO_SHIFT)


@given(
    st.lists(st.floats(-1e5, 1e5, width=32), min_size=1, max_size=300),
    st.integers(-3000, 3000),
    st.floats(1, 300),
    st.integers(8, 264),
)
@settings(max_examples=200, deadline=None)
def test_values_are_counted_as_numpy_counts_them(library, values, centre, width, reach):
    values = np.array(values, np.float32)
    expected = histogram(values, float(centre), width, reach)
    assert np.array_equal(native_histogram(library, values, float(centre), width, reach), expected)


def test_values_that_are_no_number_are_counted_somewhere(library):
    values = np.array([np.nan, np.inf, -np.inf, 0], np.float32)
    assert native_histogram(library, values, 0.0, 1.0, 2).sum() == 4


def test_a_constant_frame_gives_zeros_to_the_bit(library):
    found = native_input(library, np.full((STACK, 50, 61), 40000, np.uint16), InputSpec("difference+frame"), NO_SHIFT)
    assert not found.any()


def test_frames_of_another_depth_go_to_numpy(library):
    stack = random_stack((40, 48), np.uint16, 6).astype(np.float32)
    spec = InputSpec("difference+frame")
    assert np.array_equal(padded_input(stack, spec, NO_SHIFT, 8), network_input(stack, spec, NO_SHIFT))


def test_without_a_compiler_numpy_does_it_and_the_log_says_why(anew, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stack, spec = random_stack((40, 50), np.uint16, 7), InputSpec("difference+frame")
    with caplog.at_level(logging.INFO, "irdim.native"):
        found = padded_input(stack, spec, NO_SHIFT, 8)
    assert np.array_equal(found, pad_to_stride(network_input(stack, spec, NO_SHIFT), 8))
    assert "no C compiler" in caplog.text
    assert not list(tmp_path.rglob("*.so"))


def test_a_compiler_that_fails_is_said_in_one_line(tmp_path, monkeypatch):
    broken = tmp_path / "broken-cc"
    broken.write_bytes(b"#!/bin/sh\necho first >&2\necho 'no such option: \xe9 -march' >&2\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(Unavailable, match=r"^.*broken-cc fails: no such option: . -march$"):
        compile_native(tmp_path / "cache")


def test_a_compiler_that_fails_is_asked_once(anew, tmp_path, monkeypatch, caplog):
    broken = tmp_path / "broken-cc"
    broken.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with caplog.at_level(logging.INFO, "irdim.native"):
        for otherwise in ("the input step", "registration"):
            assert sound_library(lambda library: 0.0, 0.0, otherwise) is None
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert [r.getMessage() for r in caplog.records] == [
        f"{what}: {broken} fails: without a word" for what in ("the input step", "registration")
    ]


def test_what_may_not_be_run_from_the_temporary_folder_is_run_from_the_cache(library, tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec,size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here (not root)")
    try:
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        made = compile_native(tmp_path / "cache")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    check(made, random_stack((30, 40), np.uint8, 8), InputSpec("difference"), NO_SHIFT)


def test_where_nothing_can_be_kept_it_is_compiled_for_this_process(library, tmp_path):
    (tmp_path / "file").touch()
    check(compile_native(tmp_path / "file"), random_stack((30, 40), np.uint8, 8), InputSpec("difference"), NO_SHIFT)


def test_without_a_home_numpy_does_it(anew, monkeypatch):
    def no_home() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("irdim.cache.Path.home", no_home)
    stack, spec = random_stack((40, 48), np.uint16, 9), InputSpec("difference+frame")
    assert np.array_equal(padded_input(stack, spec, NO_SHIFT, 8), network_input(stack, spec, NO_SHIFT))


def test_it_is_compiled_once(library, tmp_path):
    compile_native(tmp_path)
    (path,) = tmp_path.glob("*.so")
    made = path.stat().st_mtime_ns
    compile_native(tmp_path)
    assert path.stat().st_mtime_ns == made


def test_a_damaged_library_is_compiled_anew(library, tmp_path):
    compile_native(tmp_path / "a")
    (sound,) = (tmp_path / "a").glob("*.so")
    damaged = tmp_path / "b" / sound.name  # another path: what is loaded from one stays loaded
    damaged.parent.mkdir()
    damaged.write_bytes(b"cut short by a power cut")
    check(compile_native(damaged.parent), random_stack((30, 40), np.uint8, 8), InputSpec("difference"), NO_SHIFT)
    assert damaged.read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize("odd", [np.zeros((41, 48), np.uint16), np.zeros((40, 48), np.uint8)])
def test_frames_that_are_not_alike_never_reach_the_pointers(library, monkeypatch, odd):
    assert native() is not None
    monkeypatch.setattr(step, "native_input", lambda *given: pytest.fail("called"))
    stack = [*random_stack((40, 48), np.uint16, 6)[:3], odd]
    with contextlib.suppress(ValueError):  # NumPy's own word on another size
        padded_input(stack, InputSpec("difference+frame"), NO_SHIFT, 8)


def test_one_that_computes_something_else_is_not_used(anew, library, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def off(*given):
        return native_input(*given) + np.float32(1e-3)

    monkeypatch.setattr(step, "native_input", off)
    with caplog.at_level(logging.INFO, "irdim.native"):
        assert native() is None
    assert "differs from NumPy" in caplog.text
