"""Quantisation-aware fine-tuning: the training goes on for a while with everything rounded as the INT8 graph rounds it, and ends in weights that bear it.

Weights are rounded per channel and inputs of convolutions per tensor, by the graph's own scales, both symmetric to 127 steps; gradients pass the rounding
unchanged (Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018). The loss is that of the
training (Eq. 2-4), and beside it the distance to what the network gave in FP32, so that its scores keep their meaning, and thresholds stay right.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, fx, nn

from irdim.errors import InputError
from irdim.grid import CONFIDENCE
from irdim_train.batches import BatchReader
from irdim_train.loss import paper_loss
from irdim_train.whole_frames import WholeFrameReader

LEVELS = 127
LIKE_FP32 = 2.0  # weight of the distance to FP32 in the loss
ELSEWHERE = 0.002  # as in irdim_export.output_ranges
GRADIENT_NORM = 10.0
EMA = 0.99  # of the weights; some hundred steps are made
SEED = 1  # another order than that of the training


@dataclass(frozen=True)
class Course:
    """reader: what the training ended on; steps: how many; learning_rate: at the first one, falling to zero as a cosine; a, b: weights of Loc and Class."""

    reader: BatchReader | WholeFrameReader
    steps: int
    learning_rate: float
    a: float = 1.0
    b: float = 1.0


def fine_tune(
    model: fx.GraphModule,
    int8: Path,
    course: Course,
    progress: Callable[[int, int, float], None] = lambda step, total, loss: None,
) -> fx.GraphModule:
    """A copy of the network, plain float32, whose weights lose less when they are rounded.

    model: batch normalisation folded in; int8: its INT8 graph, whose scales round. Raises InputError where the loss is not finite.
    """
    torch.manual_seed(SEED)
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    student = copy.deepcopy(teacher).requires_grad_(True)
    average = copy.deepcopy(teacher)
    _round_convolutions(student, int8)
    optimiser = torch.optim.Adam(student.parameters(), lr=course.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, course.steps)
    for step, batch in enumerate(course.reader.steps(SEED, 0, course.steps, augment=True), start=1):
        with torch.no_grad():
            wanted = teacher(batch.image)
        output = student(batch.image)
        loss = paper_loss(output, batch.targets).each(course.a, course.b).mean()
        loss = loss + LIKE_FP32 * _distance(output, wanted)
        if not torch.isfinite(loss):
            raise InputError(f"--qat: the loss is not finite at step {step}; export without it")
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        _follow(average, student, step)
        progress(step, course.steps, float(loss.detach()))
    return average


def _distance(output: Tensor, wanted: Tensor) -> Tensor:
    """Mean square, weighed by p (1 - p) of the cell's confidence p: where a detection hangs in the balance."""
    sure = torch.sigmoid(wanted[:, CONFIDENCE : CONFIDENCE + 1])
    weight = ELSEWHERE + sure * (1 - sure)
    return (weight * (output - wanted) ** 2).sum() / (weight.sum() * output.shape[1])


@torch.no_grad()
def _follow(average: nn.Module, student: nn.Module, step: int) -> None:
    decay = min(EMA, step / (9 + step))
    for mean, value in zip(average.parameters(), student.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)


def _round_convolutions(student: fx.GraphModule, int8: Path) -> None:
    """Make every convolution round its weights, and its input by the scale that it has in the INT8 graph, whose convolutions come in the same order."""
    nodes = [node for node in student.graph.nodes if node.op == "call_module"]
    modules = [student.get_submodule(str(node.target)) for node in nodes]
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    for convolution, (shape, scale) in zip(convolutions, _convolutions(int8), strict=True):
        if tuple(convolution.weight.shape) != shape:
            raise ValueError(f"{int8}: {shape} weights where the network has {tuple(convolution.weight.shape)}")
        convolution.forward = _rounding(convolution, torch.tensor(scale))  # type: ignore[method-assign]


def _convolutions(int8: Path) -> list[tuple[tuple[int, ...], float]]:
    """Shape of the weights and scale of the input of each convolution of a graph in which all are quantised."""
    graph = onnx.load(str(int8)).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    found = []
    for node in graph.node:
        if node.op_type == "Conv":
            given, weight = (made_by[name] for name in node.input[:2])
            found.append((tuple(constants[weight.input[0]].shape), float(constants[given.input[1]])))
    return found


def _rounding(convolution: nn.Conv2d, scale: Tensor) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        weight = convolution.weight
        most = weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        steps = _round(x, scale), _round(weight, most / LEVELS)
        return convolution._conv_forward(*steps, convolution.bias)

    return forward


def _round(x: Tensor, step: Tensor) -> Tensor:
    """To whole steps, -127..127; the gradient passes where nothing was clipped."""
    inside = x.clamp(-LEVELS * step, LEVELS * step)
    return inside + (torch.round(inside / step) * step - inside).detach()
