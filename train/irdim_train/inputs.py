"""The network's input on the training device: the same steps as irdim.differencing, on batches. Held against it within 1e-5 by the tests."""

from functools import lru_cache

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
    -0.5..0.5 px; sigma: (N, C) counts. Returns (N, C, H, W) float32."""
    counts = planes(stacks, spec, shifts)
    return high_pass(counts) / sigma[:, :, None, None]


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
    """Less the local mean, as irdim.differencing.high_pass, which it is on a CPU; on a GPU the window's sums are products with band matrices, in float64."""
    if images.device.type == "cpu":
        planes = images.reshape(-1, *images.shape[-2:]).numpy()
        return torch.from_numpy(np.stack([differencing.high_pass(plane) for plane in planes])).view(images.shape)
    return high_pass_by_products(images)


def high_pass_by_products(images: Tensor) -> Tensor:
    rows, columns = (_band(n, images.device) for n in images.shape[-2:])
    sums = rows @ (images.double() @ columns)
    return (images - sums / torch.outer(rows.sum(1), columns.sum(1))).float()


@lru_cache(maxsize=16)
def _band(n: int, device: torch.device) -> Tensor:
    """(n, n) float64, 1 where two places lie in one window."""
    i = torch.arange(n, device=device)
    return ((i[:, None] - i[None]).abs() <= HIGH_PASS_RADIUS).double()


def compress(x: Tensor) -> Tensor:
    """4 asinh(x / 4), in the form of irdim.differencing.compress, which runs in vector registers."""
    y = x.abs() / KNEE
    return torch.addcmul(torch.ones((), device=x.device), y, y).sqrt_().add_(y).log_().mul_(KNEE).copysign_(x)
