"""How a batch of patches is varied: another camera, another sky, another attitude. Each part respects what the sensor does to its counts and noise."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

MORE_NOISE = 0.6  # augmentation adds up to this share of the frame's own noise
INVERTED = 0.1  # share of patches whose contrast is inverted
LEAST_OVER, MOST_OVER = 0.4, 1.0  # its amplitude, in noise sigmas of the patch below


def vary(
    stacks: Tensor, sigma: Tensor, frame_noise: Tensor, differences: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Another camera: more sensor noise, of which the noise scale knows, and now and then white-hot turned black-hot.

    stacks: (N, 4, S, S) counts, which are overwritten; sigma: (N, C), its leading `differences` those of differences, which hold the noise of two frames;
    frame_noise: (N,) counts, of one frame. Returns varied stacks and their sigma.
    """
    n = len(stacks)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    more = frame_noise * MORE_NOISE * torch.rand(n, generator=generator).to(stacks)
    flip = torch.where(torch.rand((n, 1, 1, 1), generator=generator) < INVERTED, -1.0, 1.0).to(stacks)
    _add_noise(stacks, more, generator)
    stacks *= flip
    frames = torch.tensor([2.0] * differences + [1.0] * (sigma.shape[1] - differences)).to(stacks)
    return stacks, torch.sqrt(sigma**2 + frames * more[:, None] ** 2)


def _add_noise(stacks: Tensor, more: Tensor, generator: torch.Generator) -> None:
    """Normal noise of `more` (N,) counts: each frame a piece of one long strip of it, from a place of its own. To draw it anew takes ten times as long."""
    pixels = math.prod(stacks.shape[2:])
    whole = _noise_strip(stacks.device, 1 << max(22, (2 * pixels).bit_length()))
    pieces = whole.unfold(0, pixels, 1)
    at = torch.randint(len(pieces), stacks.shape[:2], generator=generator).tolist()
    if stacks.device.type != "cpu":
        stacks += pieces[torch.tensor(at).to(stacks.device)].view(stacks.shape) * more[:, None, None, None]
        return
    strip = whole.numpy()  # a frame at a time, which stays in the cache
    for frames, places, noise in zip(stacks.numpy(), at, more.numpy(), strict=True):
        for frame, place in zip(frames, places, strict=True):
            frame += noise * strip[place : place + frame.size].reshape(frame.shape)


@lru_cache(maxsize=2)
def _noise_strip(device: torch.device, length: int) -> Tensor:
    """(length,) float32, the same in every process."""
    return torch.randn(length, generator=torch.Generator().manual_seed(0)).to(device)


def lay_over(signal: Tensor, boxes: np.ndarray, share: float, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
    """Real targets in other real skies, and dimmer: to a share of the patches another one of the batch is added, fainter, with its boxes.

    signal: (N, C, S, S) in noise sigmas, before compression; boxes: rows of BOXES, whose `patch` is the index in the batch. Both skies have noise of one
    sigma, so their sum is divided by what its noise has: nothing but the targets says which patches are sums, and a target loses 7 to 63 % of its contrast.
    """
    n = len(signal)
    if n < 2 or not share:
        return signal, boxes
    below = np.flatnonzero(rng.random(n) < share)
    over = (below + rng.integers(1, n, len(below))) % n
    amplitude = rng.uniform(LEAST_OVER, MOST_OVER, len(below)).astype(np.float32)
    weight = torch.from_numpy(amplitude).to(signal)[:, None, None, None]
    mixed = signal.clone()
    mixed[below] = (signal[below] + weight * signal[over]) / torch.sqrt(1 + weight**2)
    added = [boxes]
    for under, other in zip(below.tolist(), over.tolist(), strict=True):
        brought = boxes[boxes["patch"] == other].copy()
        brought["patch"] = under
        added.append(brought)
    return mixed, np.concatenate(added)


def turn_image(image: Tensor, turn: int) -> Tensor:
    """(N, C, S, S): mirrored left-right where bit 0 of `turn` is set, up-down by bit 1, rows and columns swapped by bit 2. The image may be overwritten."""
    if turn and image.device.type == "cpu" and image.shape[-1] == image.shape[-2]:
        for patch in image:  # each in its own place, while it is in the cache
            patch.copy_(_turned(patch.clone(), turn))
        return image
    return _turned(image, turn)


def _turned(image: Tensor, turn: int) -> Tensor:
    flipped = [axis for bit, axis in ((1, -1), (2, -2)) if turn & bit]
    image = image.flip(flipped) if flipped else image
    return image.transpose(-1, -2) if turn & 4 else image


def turn_boxes(boxes: np.ndarray, turn: int, size: int) -> np.ndarray:
    """The same for rows of BOXES; returns a turned copy."""
    boxes = boxes.copy()
    if turn & 1:
        boxes["x"] = size - boxes["x"]
    if turn & 2:
        boxes["y"] = size - boxes["y"]
    if turn & 4:
        swapped = boxes.copy()
        swapped["x"], swapped["y"], swapped["w"], swapped["h"] = boxes["y"], boxes["x"], boxes["h"], boxes["w"]
        boxes = swapped
    return boxes
