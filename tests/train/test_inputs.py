import numpy as np
import pytest
import torch

from irdim.differencing import CHANNELS, InputSpec, noise_scale, planes
from irdim.differencing import network_input as reference
from irdim_train.inputs import high_pass, high_pass_by_products, network_input


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


@pytest.mark.parametrize("input", CHANNELS)
@pytest.mark.parametrize("register", [False, True])
@pytest.mark.parametrize("kind", ["random", "noise", "constant", "saturated", "dead"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_torch_gives_what_numpy_gives(input, register, kind, dtype):
    stack, spec = stacks(kind, dtype), InputSpec(input, 1, register)
    shifts = np.array([[0.4, -0.3], [-0.5, 0.0], [0.125, 0.5]], np.float32)
    sigma = noise_scale(planes(stack, spec, shifts), spec)
    expected = reference(stack, spec, shifts, sigma)
    given = network_input(
        torch.from_numpy(stack.astype(np.float32))[None],
        spec,
        torch.from_numpy(shifts)[None],
        torch.from_numpy(sigma)[None],
    )
    assert np.abs(given[0].numpy() - expected).max() < 1e-5


def test_a_gpu_takes_the_local_mean_off_as_a_cpu_does():
    images = torch.from_numpy(stacks("random", np.uint16).astype(np.float32))[None]
    assert (
        high_pass(images) - high_pass_by_products(images)
    ).abs().max() < 0.01  # one unit in the last place of 60000 is 0.004
