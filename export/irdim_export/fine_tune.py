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
from irdim_export.output_ranges import ELSEWHERE
from irdim_train.batches import BatchReader
from irdim_train.loss import paper_loss
from irdim_train.whole_frames import PatchesThenFrames, WholeFrameReader

LEVELS = 127
LEARNING_RATE = 5e-3  # of the share by which a weight changes
LIKE_FP32 = 2.0  # weight of the distance to FP32 in the loss
EMA = 0.99  # of what is learnt; some hundred steps are made


@dataclass(frozen=True)
class Course:
    """reader: what the training ended on; steps: how many; seed: of their order; augment: whether patches are varied; a, b: weights of Loc and Class."""

    reader: BatchReader | WholeFrameReader | PatchesThenFrames
    steps: int
    seed: int = 1
    augment: bool = True
    a: float = 1.0
    b: float = 1.0


def fine_tune(
    model: fx.GraphModule,
    int8: Path,
    course: Course,
    progress: Callable[[int, int], None] = lambda step, total: None,
) -> fx.GraphModule:
    """A copy of the network, plain float32, whose weights lose less when they are rounded.

    model: batch normalisation folded in; int8: its INT8 graph, whose scales round. Raises InputError where the loss is not finite.
    """
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    student = copy.deepcopy(teacher)
    rounded = _round_convolutions(student, int8)
    learnt = [change for convolution in rounded for change in convolution.changes]
    average = [torch.zeros_like(change) for change in learnt]
    optimiser = torch.optim.Adam(learnt, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, course.steps)
    for step, batch in enumerate(course.reader.steps(course.seed, 0, course.steps, course.augment), start=1):
        with torch.no_grad():
            wanted = teacher(batch.image)
        output = student(batch.image)
        loss = paper_loss(output, batch.targets).each(course.a, course.b).mean()
        loss = loss + LIKE_FP32 * _distance(output, wanted)
        if not torch.isfinite(loss):
            raise InputError(f"--qat: the loss is not finite at step {step}; export without it")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            for mean, change in zip(average, learnt, strict=True):
                mean.lerp_(change, 1 - min(EMA, step / (9 + step)))
        progress(step, course.steps)
    for i, convolution in enumerate(rounded):
        convolution.apply(*average[2 * i : 2 * i + 2])
    return student.eval()


def _distance(output: Tensor, wanted: Tensor) -> Tensor:
    """Mean square, weighed by p (1 - p) of the cell's confidence p: where a detection hangs in the balance."""
    sure = torch.sigmoid(wanted[:, CONFIDENCE : CONFIDENCE + 1])
    weight = ELSEWHERE + sure * (1 - sure)
    return (weight * (output - wanted) ** 2).sum() / (weight.sum() * output.shape[1])


class _Rounded:
    """A convolution that rounds its weights, and its input by a scale. changes: of weights and bias, as shares of themselves: what folding and equalising
    leaves are weights of very different size, of which one learning rate would tear up the small ones."""

    def __init__(self, convolution: nn.Conv2d, scale: float) -> None:
        assert convolution.bias is not None
        self._convolution, self._scale = convolution, torch.tensor(scale)
        self.changes = [torch.zeros_like(p).requires_grad_(True) for p in (convolution.weight, convolution.bias)]
        convolution.forward = self._forward  # type: ignore[method-assign]

    def _forward(self, x: Tensor) -> Tensor:
        weight, bias = self._changed(*self.changes)
        most = weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        return self._convolution._conv_forward(_round(x, self._scale), _round(weight, most / LEVELS), bias)

    def _changed(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        assert self._convolution.bias is not None
        return self._convolution.weight * (1 + weight), self._convolution.bias * (1 + bias)

    def apply(self, weight: Tensor, bias: Tensor) -> None:
        """Make it a plain convolution again, with these changes."""
        changed = self._changed(weight, bias)
        self._convolution.weight.data, self._convolution.bias.data = changed  # type: ignore[union-attr]
        self._convolution.forward = nn.Conv2d.forward.__get__(self._convolution)  # type: ignore[method-assign]


def _round_convolutions(student: fx.GraphModule, int8: Path) -> list[_Rounded]:
    """Every convolution, with the scale that its input has in the INT8 graph. The two may come in another order there, under other names; what is in both
    as it was are the biases. Raises ValueError where one is not there."""
    scales = input_scales(int8)
    rounded = []
    for name, module in student.named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None  # of the folded normalisation
            scale = scales.get(module.bias.detach().numpy().tobytes())
            if scale is None:
                raise ValueError(f"{int8}: has no convolution with the bias of {name}")
            rounded.append(_Rounded(module, scale))
    return rounded


def input_scales(int8: Path) -> dict[bytes, float]:
    """The bias of each convolution, as it is in memory, to the scale of its input. All are quantised."""
    graph = onnx.load(str(int8)).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    return {
        constants[node.input[2]].tobytes(): float(constants[made_by[node.input[0]].input[1]])
        for node in graph.node
        if node.op_type == "Conv"
    }


def _round(x: Tensor, step: Tensor) -> Tensor:
    """To whole steps, -127..127; the gradient passes where nothing was clipped."""
    inside = x.clamp(-LEVELS * step, LEVELS * step)
    return inside + (torch.round(inside / step) * step - inside).detach()
