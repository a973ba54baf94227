"""Patches by the compiled step, held against torch and NumPy step by step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim.differencing import CHANNELS, InputSpec, difference_planes
from irdim.native.input import native
from irdim_train.augmentation import Camera, turn_image
from irdim_train.inputs import compress, in_sigmas
from irdim_train.native_patches import native_patches


@pytest.fixture(scope="module")
def library():
    found = native()
    if found is None:
        pytest.skip("no native input step here: no C compiler")
    return found


def reference(stacks, spec, shifts, sigma, camera, turn, compressed):
    counts = torch.from_numpy(stacks.astype(np.float32))
    if camera is not None:
        counts = camera.see(counts)
    signal = in_sigmas(counts, spec, torch.from_numpy(shifts), torch.from_numpy(sigma))
    return turn_image(compress(signal) if compressed else signal, turn)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 19),
    st.sampled_from([16, 21, 40]),
    st.sampled_from(sorted(CHANNELS)),
    st.booleans(),
    st.sampled_from([np.uint8, np.uint16]),
    st.booleans(),
    st.integers(0, 7),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_the_compiled_step_gives_what_torch_gives(
    library, seed, n, size, kind, register, dtype, augmented, turn, compressed
):
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    stacks = rng.normal(top / 2, top / 40, (n, 4, size, size)).clip(0, top).astype(dtype)
    stacks[rng.random(stacks.shape) < 0.01] = top
    spec = InputSpec(kind, 2, register)
    shifts = rng.uniform(-0.5, 0.5, (n, 3, 2)).astype(np.float32)
    shifts[rng.random((n, 3)) < 0.2] = rng.choice([-0.5, 0.0, 0.5])
    sigma = rng.uniform(0.5, top / 30, (n, spec.channels)).astype(np.float32)
    camera = None
    if augmented:
        camera = Camera.draw(rng.uniform(1, top / 40, n).astype(np.float32), size**2, rng)
        sigma = camera.sigma(sigma, difference_planes(spec))
    expected = reference(stacks, spec, shifts, sigma, camera, turn, compressed)
    found = native_patches(library, stacks, spec, shifts, sigma, camera, turn, compressed)
    assert found.shape == expected.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, 0.0 if compressed else float(expected.abs().max()))


@pytest.mark.parametrize("wrong", [np.zeros((2, 4, 16, 24), np.uint16), np.zeros((2, 4, 16, 16), np.float32)])
def test_what_is_no_patch_never_reaches_the_pointers(library, wrong):
    with pytest.raises(ValueError, match="are no patches"):
        native_patches(library, wrong, InputSpec("single"), np.zeros((2, 3, 2)), np.ones((2, 1)))


def test_scales_of_other_patches_never_reach_the_pointers(library):
    with pytest.raises(ValueError, match="wanted"):
        native_patches(
            library, np.zeros((2, 4, 16, 16), np.uint8), InputSpec("single"), np.zeros((2, 3, 2)), np.ones((1, 1))
        )
