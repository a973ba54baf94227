"""Patches by the compiled step, held against torch and NumPy step by step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irdim.differencing import CHANNELS, InputSpec, difference_planes
from irdim.patches import Patches
from irdim_train import batches
from irdim_train.augmentation import Camera
from irdim_train.batches import BatchReader
from irdim_train.patch_images import native_patches, native_step, torch_patches


@pytest.fixture(scope="module")
def library():
    found = native_step()
    if found is None:
        pytest.skip("no native input step here: no C compiler")
    return found


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
    expected = torch_patches(torch.from_numpy(stacks), spec, shifts, sigma, camera, turn, compressed)
    found = native_patches(library, stacks, spec, shifts, sigma, camera, turn, compressed)
    assert found.shape == expected.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, 0.0 if compressed else float(expected.abs().max()))


@pytest.mark.parametrize("lay_over", [0.0, 0.5])
def test_batches_are_the_same_without_a_compiler(library, small_patches, monkeypatch, lay_over):
    def images():
        patches = Patches.open(small_patches)
        spec = InputSpec("difference+frame", patches.description["frame_step"], patches.description["register"])
        reader = BatchReader(patches, spec, "train", 8, torch.device("cpu"), 8, lay_over)
        return [batch.image for batch in reader.steps(0, 0, 3, augment=True)]

    compiled = images()
    monkeypatch.setattr(batches, "native_step", lambda: None)
    for one, other in zip(compiled, images(), strict=True):
        assert (one - other).abs().max() <= 1e-5


WRONG = [np.zeros((2, 4, 16, 24), np.uint16), np.zeros((2, 4, 16, 16), np.float32), np.zeros((2, 3, 16, 16), np.uint8)]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_patch_never_reaches_the_pointers(library, wrong):
    with pytest.raises(ValueError, match="are no patches"):
        native_patches(library, wrong, InputSpec("single"), np.zeros((2, 3, 2)), np.ones((2, 1)))


def test_scales_of_other_patches_never_reach_the_pointers(library):
    with pytest.raises(ValueError, match="wanted"):
        native_patches(
            library, np.zeros((2, 4, 16, 16), np.uint8), InputSpec("single"), np.zeros((2, 3, 2)), np.ones((1, 1))
        )


def test_noise_of_other_patches_never_reaches_the_pointers(library):
    rng = np.random.default_rng(0)
    camera = Camera.draw(np.ones(60, np.float32), 8**2, rng)
    shape = (60, 4, 300, 300)
    with pytest.raises(ValueError, match="there are 4194304 values"):
        native_patches(
            library, np.zeros(shape, np.uint8), InputSpec("single"), np.zeros((60, 3, 2)), np.ones((60, 1)), camera
        )
