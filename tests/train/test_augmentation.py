import numpy as np
import torch

from irdim.patches import BOXES
from irdim_train.augmentation import Camera, lay_over


def boxes(*patches: int) -> np.ndarray:
    rows = np.zeros(len(patches), BOXES)
    rows["patch"], rows["x"], rows["box"] = patches, np.arange(len(patches)), np.arange(len(patches))
    return rows


def test_a_patch_laid_over_another_brings_its_boxes_and_keeps_the_noise_at_one_sigma():
    signal = torch.randn((400, 4, 32, 32), generator=torch.Generator().manual_seed(0))
    signal[:200, :, 16, 16] += 20.0  # half of them have a target
    given = boxes(*range(200))
    mixed, there = lay_over(signal, given, 0.4, np.random.default_rng(1))
    untouched = [i for i in range(400) if torch.equal(mixed[i], signal[i])]
    assert abs(len(untouched) / 400 - 1 + 0.4) < 0.08
    sigma = mixed[:, :, :8].std((1, 2, 3))
    assert abs(float(sigma.mean()) - 1) < 0.01  # so nothing but the targets tells which are sums
    for patch in range(400):
        brought = int((there["patch"] == patch).sum()) - (patch < 200)
        peak = float(mixed[patch, :, 16, 16].mean())
        assert brought in (0, 1)
        if patch in untouched:
            assert brought == 0
        elif patch < 200:
            assert 12 < peak < 31
        else:
            assert (6 < peak < 16) == bool(brought)


def test_what_is_laid_over_follows_from_the_generator_alone():
    signal, given = torch.randn((16, 3, 8, 8)), boxes(0, 3, 3)
    one, other = (lay_over(signal, given, 0.4, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])
    assert np.array_equal(given, boxes(0, 3, 3))


def test_a_single_patch_is_laid_over_nothing():
    signal = torch.ones((1, 3, 8, 8))
    for seed in range(9):
        mixed, there = lay_over(signal, boxes(0), 1.0, np.random.default_rng(seed))
        assert torch.equal(mixed, signal)
        assert len(there) == 1


def seen(seed, n=8, size=32):
    camera = Camera.draw(np.full(n, 10.0, np.float32), size**2, np.random.default_rng(seed))
    return camera, camera.see(torch.zeros((n, 4, size, size)))


def test_the_noise_scale_knows_of_added_noise():
    camera, varied = seen(0, 64, 48)
    sigma = torch.from_numpy(camera.sigma(np.zeros((64, 4), np.float32), 3))
    measured = torch.cat([(varied[:, :1] - varied[:, 1:]).std((2, 3)), varied[:, :1].std((2, 3))], 1)
    assert ((measured - sigma).abs() < 0.06 * sigma + 0.05).all()


def test_added_noise_follows_from_the_generator_and_differs_from_frame_to_frame():
    one, other, third = (seen(seed)[1] for seed in (1, 1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)
    frames = one.flatten(0, 1).flatten(1)
    alike = torch.corrcoef(frames[frames.std(1) > 0.1]).fill_diagonal_(0)
    assert alike.abs().max() < 0.2  # chance gives 0.03 over 1,024 pixels
