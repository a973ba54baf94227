"""How a batch of patches is varied: another camera, another sky, another attitude. Each part respects what the sensor does to its counts and noise."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from irdim.differencing import STACK

MORE_NOISE = 0.6  # augmentation adds up to this share of the frame's own noise
INVERTED = 0.1  # share of patches whose contrast is inverted
LEAST_OVER, MOST_OVER = 0.4, 1.0  # its amplitude, in noise sigmas of the patch below


@dataclass(frozen=True)
class Camera:
    """Another camera: more sensor noise, of which the noise scale knows, and now and then black-hot instead of white-hot.

    more: (N,) float32, counts of noise added to each stack; sign: (N,) float32, 1 or -1; at: (N, 4) int64, where each frame's noise begins in `noise`.
    """

    more: np.ndarray
    sign: np.ndarray
    at: np.ndarray

    @classmethod
    def draw(cls, frame_noise: np.ndarray, pixels: int, rng: np.random.Generator) -> "Camera":
        """frame_noise: (N,) counts, of one frame of each stack; pixels: of a frame."""
        n = len(frame_noise)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        more = frame_noise * np.float32(MORE_NOISE) * torch.rand(n, generator=generator).numpy()
        sign = np.where(torch.rand(n, generator=generator).numpy() < INVERTED, np.float32(-1), np.float32(1))
        places = _strip_length(pixels) - pixels + 1
        return cls(more, sign, torch.randint(places, (n, STACK), generator=generator).numpy())

    def sigma(self, sigma: np.ndarray, differences: int) -> np.ndarray:
        """What its noise scale is, (N, C) float32; sigma: that of the stacks as they are, whose leading `differences` hold the noise of two frames."""
        frames = np.array([2] * differences + [1] * (sigma.shape[1] - differences), np.float32)
        return np.asarray(np.sqrt(sigma**2 + frames * self.more[:, None] ** 2), np.float32)

    def see(self, stacks: Tensor) -> Tensor:
        """stacks: (N, 4, S, S) float32 counts, which are overwritten."""
        pixels = math.prod(stacks.shape[2:])
        pieces = _noise_strip(stacks.device, _strip_length(pixels)).unfold(0, pixels, 1)
        more, sign, at = (torch.from_numpy(a).to(stacks.device) for a in (self.more, self.sign, self.at))
        stacks += pieces[at].view(stacks.shape) * more[:, None, None, None]
        stacks *= sign[:, None, None, None]
        return stacks

    def noise(self, pixels: int) -> np.ndarray:
        """One long strip of normal noise, of which each frame of so many pixels takes a piece: to draw it anew takes ten times as long."""
        return _noise_strip(torch.device("cpu"), _strip_length(pixels)).numpy()


def _strip_length(pixels: int) -> int:
    return 1 << max(22, (2 * pixels).bit_length())


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
