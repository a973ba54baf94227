import numpy as np
import pytest
import torch

from irdim.differencing import CHANNELS, InputSpec, noise_scale, planes
from irdim.differencing import network_input as reference
from irdim_train.inputs import compress, in_sigmas, in_sigmas_at_once


def stacks(kind, dtype):
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    made = {
        "random": rng.integers(0, top, (4, 40, 56), endpoint=True),
        "noise": np.rint(rng.normal(100, 4, (4, 40, 56))),
        "constant": np.full((4, 40, 56), 77),
        "saturated": np.full((4, 40, 56), top),
    }
    made["dead"] = made["noise"].copy()
    made["dead"][:, ::9, ::7] = top
    made["dead"][:, 11] = 0
    return made[kind].astype(dtype)


@pytest.mark.parametrize("in_sigmas", [in_sigmas, in_sigmas_at_once], ids=["cpu", "gpu"])
@pytest.mark.parametrize("input", CHANNELS)
@pytest.mark.parametrize("register", [False, True])
@pytest.mark.parametrize("kind", ["random", "noise", "constant", "saturated", "dead"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_torch_gives_what_numpy_gives(in_sigmas, input, register, kind, dtype):
    stack, spec = stacks(kind, dtype), InputSpec(input, 1, register)
    shifts = np.array([[0.4, -0.3], [-0.5, 0.0], [0.125, 0.5]], np.float32)
    sigma = noise_scale(planes(stack, spec, shifts), spec)
    expected = reference(stack, spec, shifts, sigma)
    given = in_sigmas(
        torch.from_numpy(stack.astype(np.float32))[None],
        spec,
        torch.from_numpy(shifts)[None],
        torch.from_numpy(sigma)[None],
    )
    assert np.abs(compress(given)[0].numpy() - expected).max() < 1e-5
