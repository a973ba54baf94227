"""Weights that bear INT8."""

import itertools

import numpy as np
import pytest
import torch
from torch.fx.experimental.optimization import fuse

from irdim.differencing import INPUT_RANGE
from irdim.engines import open_engine
from irdim.patches import Patches
from irdim_calibration.select import choose_patches
from irdim_export.fine_tune import Course, _round, fine_tune, input_scales
from irdim_export.graph import write_onnx
from irdim_export.quantise import check_form, quantise
from irdim_train.backbones import BACKBONES
from irdim_train.batches import BatchReader
from irdim_train.model import GridDetector
from irdim_train.runs import load_model


def test_rounding_keeps_127_steps_and_passes_gradients_that_were_not_clipped():
    x = torch.tensor([0.26, -0.74, 200.0], requires_grad=True)
    rounded = _round(x, torch.tensor(0.5))
    assert rounded.tolist() == [0.5, -0.5, 63.5]
    rounded.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def hard_to_round(model):
    """The same function with channels of very different strength, as depthwise networks have: what one filter gains, the next layer takes back."""
    folded = fuse(model)
    convolutions = [m for m in folded.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        for first, second in itertools.pairwise(convolutions[:5]):
            first.weight[::4] *= 20
            first.bias[::4] *= 20
            second.weight[:, ::4] /= 20
    return folded


def test_fine_tuned_weights_bear_int8_better_than_those_that_were_not_rounded_meanwhile(
    small_run, small_patches, tmp_path, monkeypatch
):
    torch.set_num_threads(1)
    whole, card = load_model(small_run)
    model = hard_to_round(whole)
    patches = Patches.open(small_patches)
    calibration = choose_patches(patches, card.input, 64)
    reader = BatchReader(patches, card.input, "train", card.stride, torch.device("cpu"), 16)
    images = calibration.inputs[1::2]

    def quantised(network, name):
        write_onnx(network, card.input.channels, tmp_path / f"{name}.onnx")
        quantise(tmp_path / f"{name}.onnx", tmp_path / f"{name}.int8.onnx", calibration, "percentile")
        return tmp_path / f"{name}.int8.onnx"

    def error(int8):
        wanted, engine = open_engine(tmp_path / "plain.onnx"), open_engine(int8)
        return float(np.mean([(engine.run(x) - wanted.run(x)) ** 2 for x in images]))

    plain = quantised(model, "plain")
    course = Course(reader, 300)  # 30 to 100 leave the order to chance
    tuned = quantised(fine_tune(model, plain, course), "tuned")
    monkeypatch.setattr("irdim_export.fine_tune._round", lambda x, step: x)
    not_rounded = quantised(fine_tune(model, plain, course), "not-rounded")
    counts = check_form(tuned)
    assert counts["Conv"] == counts["quantised Conv"] == 9
    assert error(tuned) < 0.9 * error(plain)
    assert error(tuned) < 0.9 * error(not_rounded)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_convolution_is_rounded_by_the_scale_of_its_own_input(backbone, small_run, small_patches, tmp_path):
    """By minimum and maximum, it is the largest value that the input has over the calibration patches."""
    _, card = load_model(small_run)
    torch.manual_seed(0)
    network = GridDetector(backbone, card.input.channels, 0.25).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)
    model = fuse(network)
    calibration = choose_patches(Patches.open(small_patches), card.input, 64)
    fp32, int8 = tmp_path / "model.onnx", tmp_path / "model.int8.onnx"
    write_onnx(model, card.input.channels, fp32)
    quantise(fp32, int8, calibration, "minmax")
    scales = input_scales(int8)
    assert len(scales) == check_form(int8)["Conv"] == sum(isinstance(m, torch.nn.Conv2d) for m in model.modules())
    inputs = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_pre_hook(
                lambda m, given, name=name: inputs.update({name: float(given[0].abs().max())})
            )
    with torch.no_grad():
        for image in calibration.inputs:
            seen = dict(inputs)
            model(torch.from_numpy(image[None]))
            inputs = {name: max(most, seen.get(name, 0.0)) for name, most in inputs.items()}
    first, *others = [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d)]
    assert scales[first[1].bias.detach().numpy().tobytes()] == pytest.approx(INPUT_RANGE / 127)
    for name, module in (pair for pair in others if inputs[pair[0]] > 0):
        assert scales[module.bias.detach().numpy().tobytes()] == pytest.approx(inputs[name] / 127.5, rel=0.01), name


def test_another_network_is_refused(small_run, small_bundle, small_patches):
    _, card = load_model(small_run)
    reader = BatchReader(Patches.open(small_patches), card.input, "train", card.stride, torch.device("cpu"), 16)
    other = fuse(GridDetector("darknet19", card.input.channels, 2 * card.width).eval())
    with pytest.raises(ValueError, match="has no convolution with the bias of"):
        fine_tune(other, small_bundle / "model.int8.onnx", Course(reader, 1))


@pytest.mark.parametrize("epochs", [-1.0, 5000.0])
def test_senseless_epochs_are_refused(epochs):
    from irdim_export.export import ExportOptions

    with pytest.raises(ValueError, match="--qat"):
        ExportOptions(qat=epochs)
