"""Weights that bear INT8."""

import itertools

import numpy as np
import pytest
import torch
from torch.fx.experimental.optimization import fuse

from irdim.engines import open_engine
from irdim.patches import Patches
from irdim_calibration.select import choose_patches
from irdim_export.fine_tune import _round, fine_tune
from irdim_export.graph import write_onnx
from irdim_export.quantise import check_form, quantise
from irdim_train.batches import BatchReader
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


def test_fine_tuned_weights_lose_less_to_int8(small_run, small_patches, tmp_path):
    torch.set_num_threads(1)
    whole, card = load_model(small_run)
    model = hard_to_round(whole)
    patches = Patches.open(small_patches)
    calibration = choose_patches(patches, card.input, 64)
    reader = BatchReader(patches, card.input, "train", card.stride, torch.device("cpu"), 16)
    tuned = fine_tune(model, reader, calibration.inputs, 20)
    wanted = tmp_path / "plain.onnx"
    write_onnx(model, card.input.channels, wanted)
    errors = {}
    for name, network in (("plain", model), ("tuned", tuned)):
        write_onnx(network, card.input.channels, tmp_path / f"{name}.onnx")
        quantise(tmp_path / f"{name}.onnx", tmp_path / f"{name}.int8.onnx", calibration, "percentile")
        engine, reference = open_engine(tmp_path / f"{name}.int8.onnx"), open_engine(wanted)
        errors[name] = np.mean([(engine.run(x) - reference.run(x)) ** 2 for x in calibration.inputs[:32]])
    counts = check_form(tmp_path / "tuned.int8.onnx")
    assert counts["Conv"] == counts["quantised Conv"] == 9
    assert errors["tuned"] < 0.7 * errors["plain"]


@pytest.mark.parametrize("epochs", [-1.0, 5000.0])
def test_senseless_epochs_are_refused(epochs):
    from irdim_export.export import ExportOptions

    with pytest.raises(ValueError, match="--qat"):
        ExportOptions(qat=epochs)
