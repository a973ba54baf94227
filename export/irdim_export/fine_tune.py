"""Quantisation-aware fine-tuning: weights that bear INT8, learnt from the network's own FP32 output, so that thresholds and score scale stay right.

While it learns, weights are rounded per channel and inputs of convolutions per tensor, both symmetric to 127 steps, as the INT8 graph does; gradients pass
the rounding unchanged (Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018).
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from irdim.differencing import INPUT_RANGE
from irdim.errors import InputError
from irdim.grid import CONFIDENCE
from irdim_calibration.ranges import BINS, percentile_clip
from irdim_train.batches import BatchReader

LEVELS = 127
LEARNING_RATE = 1e-4
BACKGROUND = 0.05  # weight of a cell in which the network sees nothing
LOOKED_AT = 128  # calibration inputs


def fine_tune(
    model: nn.Module,
    reader: BatchReader,
    inputs: np.ndarray,
    epochs: float,
    progress: Callable[[int, int, float], None] = lambda step, total, loss: None,
) -> nn.Module:
    """A copy of the network with batch normalisation folded in and weights that lose less when they are rounded; plain float32.

    inputs: (n, C, S, S) float32, calibration patches from which ranges of activations are read. Raises InputError where the loss is not finite.
    """
    torch.manual_seed(0)
    teacher = fuse(copy.deepcopy(model).eval()).requires_grad_(False)
    student = copy.deepcopy(teacher).requires_grad_(True)
    rounded = _round_convolutions(student, teacher, torch.from_numpy(inputs[:: max(len(inputs) // LOOKED_AT, 1)]))
    total = max(round(epochs * reader.an_epoch), 1)
    optimiser = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
    for step, batch in enumerate(reader.steps(0, 0, total, augment=True), start=1):
        with torch.no_grad():
            wanted = teacher(batch.image)
        weight = BACKGROUND + torch.sigmoid(wanted[:, CONFIDENCE : CONFIDENCE + 1])
        loss = (weight * (student(batch.image) - wanted) ** 2).mean()
        if not torch.isfinite(loss):
            raise InputError(f"--qat: the loss is not finite at step {step}; export without it")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(step, total, float(loss.detach()))
    for convolution in rounded:
        convolution.forward = nn.Conv2d.forward.__get__(convolution)  # type: ignore[method-assign]
    return student.eval().requires_grad_(False)


def _round_convolutions(student: nn.Module, teacher: nn.Module, inputs: Tensor) -> list[nn.Conv2d]:
    """Make every convolution round its weights and its input."""
    clips = _input_clips(teacher, inputs)
    rounded = []
    for name, module in student.named_modules():
        if isinstance(module, nn.Conv2d):
            module.forward = _rounding(module, clips[name])  # type: ignore[method-assign]
            rounded.append(module)
    return rounded


def _rounding(convolution: nn.Conv2d, clip: float) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        weight = convolution.weight
        most = weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        steps = _round(x, torch.tensor(clip / LEVELS)), _round(weight, most / LEVELS)
        return convolution._conv_forward(*steps, convolution.bias)

    return forward


def _round(x: Tensor, step: Tensor) -> Tensor:
    """To whole steps, -127..127; the gradient passes where nothing was clipped."""
    inside = x.clamp(-LEVELS * step, LEVELS * step)
    return inside + (torch.round(inside / step) * step - inside).detach()


def _input_clips(model: nn.Module, inputs: Tensor) -> dict[str, float]:
    """Name of each convolution to the range of its input; the network's own input has that of its compression."""
    clips: dict[str, float] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            values = given[0].abs()
            most = float(values.max())
            counts = torch.histc(values, BINS, 0, most).double().numpy()
            clips[name] = INPUT_RANGE if given[0] is inputs else max(percentile_clip(counts, most), 1e-6)

        return hook

    convolutions = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    hooks = [m.register_forward_pre_hook(note(name)) for name, m in convolutions]
    with torch.no_grad():
        model(inputs)
    for hook in hooks:
        hook.remove()
    return clips
