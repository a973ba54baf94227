"""The network's input on the training device: the same steps as irdim.differencing, on batches. Held against it within 1e-5 by the tests."""

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from irdim import differencing
from irdim.differencing import HIGH_PASS_RADIUS, KNEE, InputSpec


def network_input(stacks: Tensor, spec: InputSpec, shifts: Tensor, sigma: Tensor) -> Tensor:
    """What the network reads: `in_sigmas`, compressed."""
    return compress(in_sigmas(stacks, spec, shifts, sigma))


def in_sigmas(stacks: Tensor, spec: InputSpec, shifts: Tensor, sigma: Tensor) -> Tensor:
    """stacks: (N, 4, H, W) float32 counts, newest first, older frames already moved by whole pixels; shifts: (N, 3, 2), what is left of them,
    -0.5..0.5 px; sigma: (N, C) counts. Returns (N, C, H, W) float32, channels last."""
    if stacks.device.type == "cpu":
        return _in_sigmas_one_by_one(stacks.numpy(), spec, shifts.numpy(), sigma.numpy())
    return in_sigmas_at_once(stacks, spec, shifts, sigma).contiguous(memory_format=torch.channels_last)


def _in_sigmas_one_by_one(stacks: np.ndarray, spec: InputSpec, shifts: np.ndarray, sigma: np.ndarray) -> Tensor:
    """On a CPU: all steps of a patch while it is in the cache, the channels of a pixel side by side, whose window sums are then taken together."""
    n, _, height, width = stacks.shape
    found = np.empty((n, height, width, spec.channels), np.float32)
    for stack, shift, scale, image in zip(stacks, shifts, sigma, found, strict=True):
        counts = cv2.merge(list(differencing.planes(stack, spec, shift))).reshape(image.shape)
        np.divide(
            differencing.high_pass(counts).reshape(height, -1), np.tile(scale, width), out=image.reshape(height, -1)
        )
    return torch.from_numpy(found).permute(0, 3, 1, 2)


def in_sigmas_at_once(stacks: Tensor, spec: InputSpec, shifts: Tensor, sigma: Tensor) -> Tensor:
    """The same for a GPU, the whole batch at each step."""
    return high_pass(planes(stacks, spec, shifts)) / sigma[:, :, None, None]


def planes(stacks: Tensor, spec: InputSpec, shifts: Tensor) -> Tensor:
    """The input's channels in counts (Eq. 1 for the differences)."""
    if spec.kind == "single":
        return stacks[:, :1]
    older = stacks[:, 1:]
    if spec.register:
        older = _move_part(_move_part(older, shifts[..., 0], dim=-2), shifts[..., 1], dim=-1)
    newest = stacks[:, :1]
    if spec.kind == "sequence":
        return torch.cat([newest, older], dim=1)
    differences = newest - older
    return differences if spec.kind == "difference" else torch.cat([differences, newest], dim=1)


def _move_part(frames: Tensor, part: Tensor, dim: int) -> Tensor:
    """Move each frame (N, K, H, W) by its own part (N, K) of a pixel, linearly; the border pixel is repeated."""
    n = frames.shape[dim]
    before = torch.cat([frames.narrow(dim, 0, 1), frames.narrow(dim, 0, n - 1)], dim)
    after = torch.cat([frames.narrow(dim, 1, n - 1), frames.narrow(dim, n - 1, 1)], dim)
    part = part[..., None, None]
    weight = part.abs()
    return frames * (1 - weight) + torch.where(part > 0, before, after) * weight


def high_pass(images: Tensor) -> Tensor:
    """Less the local mean, as irdim.differencing.high_pass; the window's sums are products with band matrices, in float64."""
    rows, columns = (_band(n, images.device) for n in images.shape[-2:])
    sums = rows @ (images.double() @ columns)
    return (images - sums / torch.outer(rows.sum(1), columns.sum(1))).float()


@lru_cache(maxsize=16)
def _band(n: int, device: torch.device) -> Tensor:
    """(n, n) float64, 1 where two places lie in one window."""
    i = torch.arange(n, device=device)
    return ((i[:, None] - i[None]).abs() <= HIGH_PASS_RADIUS).double()


def compress(x: Tensor) -> Tensor:
    """4 asinh(x / 4), in the form of irdim.differencing.compress, which runs in vector registers. x: (N, C, H, W), which may be overwritten."""
    if x.device.type == "cpu":
        memory = x.permute(0, 2, 3, 1).contiguous()  # nothing moves where the channels are last already
        for image in memory.flatten(2).numpy():
            image[...] = differencing.compress(image)
        return memory.permute(0, 3, 1, 2)
    y = x.abs() / KNEE
    return torch.addcmul(torch.ones((), device=x.device), y, y).sqrt_().add_(y).log_().mul_(KNEE).copysign_(x)
