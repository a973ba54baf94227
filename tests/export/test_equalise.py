"""Equalised channels: the same function in FP32, less lost in INT8."""

import numpy as np
import pytest
import torch
from torch import nn

from irdim_calibration.select import CalibrationSet
from irdim_export.equalise import equalise
from irdim_export.graph import INPUT, write_onnx
from irdim_export.quantise import quantise
from irdim_train.backbones import BACKBONES
from irdim_train.model import GridDetector


def lopsided(backbone: str) -> GridDetector:
    """A network as training may leave it: batch norm that gives every channel a size of its own, over a factor of a hundred."""
    torch.manual_seed(0)
    model = GridDetector(backbone, 4, 0.25)
    nn.init.normal_(model.regression.weight, std=0.3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data = 10 ** torch.empty_like(module.weight).uniform_(-1, 1)
            module.bias.data.normal_(0, 0.2)
    with torch.no_grad():
        for _ in range(30):
            model.train()(images(16))
    return model.eval()


def images(n: int) -> torch.Tensor:
    return torch.randn(n, 4, 48, 48, generator=torch.Generator().manual_seed(n)).mul(1.5)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_function_stays_and_int8_loses_less(backbone, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, looked = lopsided(backbone), images(24).numpy()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    equal = equalise(model, looked)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())  # a copy
    with torch.no_grad():
        wanted, same = model(images(8)).numpy(), equal(images(8)).numpy()
    scale = float(np.abs(wanted).max())
    assert np.abs(same - wanted).max() <= 1e-4 * scale
    errors = []
    for name, network in (("plain", model), ("equal", equal)):
        write_onnx(network, 4, tmp_path / f"{name}.onnx")
        int8 = tmp_path / f"{name}.int8.onnx"
        quantise(tmp_path / f"{name}.onnx", int8, CalibrationSet(looked, np.arange(0), ""), "minmax")
        session = onnxruntime.InferenceSession(str(int8), providers=["CPUExecutionProvider"])
        found = np.concatenate([session.run(None, {INPUT: image[None].numpy()})[0] for image in images(8)])
        errors.append(float(((found - wanted) ** 2).mean()))
    left = 0.95 if backbone == "resnet18" else 0.7  # half of its channels are added up, and left alone
    assert errors[1] < left * errors[0], f"{10 * np.log10(errors[0] / errors[1]):.1f} dB gained"


class Small(nn.Module):
    """Two convolutions; `gated`: something else reads the channels between them too."""

    def __init__(self, gated: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.second = nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1)
        self.gated = gated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = self.relu(self.first(x))
        return self.second(middle) + torch.sigmoid(input=middle) if self.gated else self.second(middle) * 0.5 + 1.0


def test_a_channel_that_something_else_reads_too_is_left_alone():
    free, bound = (equalise(Small(gated).eval(), images(4).numpy()) for gated in (False, True))
    assert not torch.equal(free.first.weight, Small(False).first.weight)
    assert torch.equal(bound.first.weight, Small(True).first.weight)


def test_what_does_not_compute_the_same_is_refused(monkeypatch):
    monkeypatch.setattr("irdim_export.equalise.PASSES", (nn.ReLU, nn.Sigmoid))
    with pytest.raises(ValueError, match="change the output"):
        equalise(nn.Sequential(nn.Conv2d(4, 8, 1), nn.Sigmoid(), nn.Conv2d(8, 7, 1)).eval(), images(4).numpy())
