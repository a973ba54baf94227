"""Every backbone fits the same grid, carries over from patch to frame, and says what it costs."""

import pytest
import torch

from irdim.errors import InputError
from irdim_train.backbones import BACKBONES
from irdim_train.describe import describe
from irdim_train.model import GridDetector


@pytest.fixture(params=BACKBONES)
def backbone(request):
    return request.param


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (80, 80)])
def test_one_output_cell_for_8_pixels(backbone, size):
    output = GridDetector(backbone, 4, 0.125).eval()(torch.zeros(2, 4, *size))
    assert output.shape == (2, 7, size[0] // 8, size[1] // 8)


def test_a_patch_gives_what_its_frame_gives_there(backbone):
    torch.manual_seed(0)
    model = GridDetector(backbone, 4, 0.125).double().eval()
    frame = torch.randn(1, 4, 320, 336, dtype=torch.float64)
    patch = frame[..., 8:312, 16:320]  # on the frame's grid; its middle cells see no border
    with torch.no_grad():
        whole, part = model(frame)[0], model(patch)[0]
    assert torch.allclose(whole[:, 18:22, 19:23], part[:, 17:21, 17:21], atol=1e-9)
    assert whole[:, 18:22, 19:23].std() > 0  # it depends on the frame at all


def test_a_shift_by_a_pixel_reaches_the_first_layer(backbone):
    first = next(m for m in GridDetector(backbone, 4, 0.25).modules() if isinstance(m, torch.nn.Conv2d))
    assert first.stride == (1, 1)


def test_every_weight_learns(backbone):
    torch.manual_seed(0)
    model = GridDetector(backbone, 4, 0.125).train()
    torch.nn.init.normal_(model.regression.weight)
    model(torch.randn(4, 4, 48, 48)).square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_multiply_adds_and_field_by_hand():
    found = describe("darknet19", 4, 1.0, ((80, 80),))
    pixels = 80 * 80
    by_hand = pixels * 4 * 32 * 9 + pixels // 4 * 32 * 64 * 9
    by_hand += pixels // 16 * (64 * 128 * 9 + 128 * 64 + 64 * 128 * 9)
    by_hand += pixels // 64 * (128 * 256 * 9 + 256 * 128 + 128 * 256 * 9 + 256 * 7)
    assert found.multiply_adds[80, 80] == by_hand
    # 3x3 at steps 1, 2, 4, 4, 8, 8 and three poolings of 2 at steps 1, 2, 4
    assert found.receptive_field == 1 + 2 * (1 + 2 + 4 + 4 + 8 + 8) + (1 + 2 + 4)


def test_an_unknown_name_or_width_is_refused():
    with pytest.raises(InputError, match="darknet19, resnet18"):
        GridDetector("vgg", 4, 1.0)
    with pytest.raises(InputError, match="width"):
        GridDetector("darknet19", 4, 0.0)
