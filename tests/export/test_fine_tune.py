"""Weights that bear INT8."""

import itertools

import numpy as np
import pytest
import torch
from torch.fx.experimental.optimization import fuse

from irdim.engines import open_engine
from irdim.patches import Patches
from irdim_calibration.select import choose_patches
from irdim_export.fine_tune import Course, _round, fine_tune
from irdim_export.graph import write_onnx
from irdim_export.quantise import check_form, quantise
from irdim_train.batches import BatchReader
from irdim_train.loss import paper_loss
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


def test_fine_tuned_weights_bear_int8(small_run, small_patches, tmp_path):
    torch.set_num_threads(1)
    whole, card = load_model(small_run)
    model = hard_to_round(whole)
    patches = Patches.open(small_patches)
    calibration = choose_patches(patches, card.input, 64)
    reader = BatchReader(patches, card.input, "train", card.stride, torch.device("cpu"), 16)
    fp32, int8, tuned_int8 = (tmp_path / f"{name}.onnx" for name in ("plain", "int8", "tuned"))

    def quantised(network, out):
        write_onnx(network, card.input.channels, fp32)
        quantise(fp32, out, calibration, "percentile")

    quantised(model, int8)
    quantised(fine_tune(model, int8, Course(reader, 30)), tuned_int8)
    counts = check_form(tuned_int8)
    assert counts["Conv"] == counts["quantised Conv"] == 9
    batch = next(reader.steps(5, 0, 1, augment=False))

    def loss(graph):
        engine = open_engine(graph)
        output = np.stack([engine.run(image) for image in batch.image.contiguous().numpy()])
        return float(paper_loss(torch.from_numpy(output), batch.targets).each(1.0, 1.0).mean())

    with torch.no_grad():
        whole_loss = float(paper_loss(model(batch.image), batch.targets).each(1.0, 1.0).mean())
    lost = {name: loss(graph) - whole_loss for name, graph in (("plain", int8), ("tuned", tuned_int8))}
    assert lost["plain"] > 0
    assert lost["tuned"] < 0.5 * lost["plain"]


def test_another_network_is_refused(small_run, small_bundle, small_patches):
    _, card = load_model(small_run)
    reader = BatchReader(Patches.open(small_patches), card.input, "train", card.stride, torch.device("cpu"), 16)
    other = fuse(GridDetector("darknet19", card.input.channels, 2 * card.width).eval())
    with pytest.raises(ValueError, match="weights where the network has"):
        fine_tune(other, small_bundle / "model.int8.onnx", Course(reader, 1))


@pytest.mark.parametrize("epochs", [-1.0, 5000.0])
def test_senseless_epochs_are_refused(epochs):
    from irdim_export.export import ExportOptions

    with pytest.raises(ValueError, match="--qat"):
        ExportOptions(qat=epochs)
