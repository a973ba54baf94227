import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irdim.boxes import LABELS
from irdim.grid import CHANNELS, CONFIDENCE, FIRST_CLASS, decode
from irdim.patches import BOXES
from irdim_train.augmentation import turn_boxes, turn_image
from irdim_train.loss import paper_loss
from irdim_train.targets import target_maps


def rows(*boxes):
    table = np.zeros(len(boxes), BOXES)
    for row, (x, y, label) in zip(table, boxes, strict=True):
        row["x"], row["y"], row["w"], row["h"], row["label"] = x, y, 5, 4, LABELS.index(label)
    return table


def perfect_output(maps):
    output = torch.zeros(1, CHANNELS, *maps.object.shape[1:])
    output[:, :CONFIDENCE] = maps.place
    output[:, CONFIDENCE] = 40 * maps.object - 20
    output[:, FIRST_CLASS:] = 40 * maps.classes - 20
    return output


coordinates = st.floats(0.0625, 79.9375, width=32)


@given(coordinates, coordinates, st.sampled_from(["target", "interference"]))
def test_decoding_what_was_encoded_gives_the_box_back(x, y, label):
    maps = target_maps(rows((x, y, label)), 1, (80, 80), 8)
    (found,) = decode(perfect_output(maps)[0].numpy(), 8, 0.5)
    assert (found.x, found.y, found.w, found.h) == pytest.approx((x, y, 5, 4), abs=1e-3)
    assert found.label == label


def test_a_second_target_in_a_cell_goes_to_the_nearest_free_neighbour():
    maps = target_maps(rows((20, 20, "target"), (23, 18, "target")), 1, (80, 80), 8)
    assert (maps.spilled, maps.lost) == (1, 0)
    found = decode(perfect_output(maps)[0].numpy(), 8, 0.5, apart=1, inside=0)
    assert sorted((round(d.x), round(d.y)) for d in found) == [(20, 20), (23, 18)]


def test_cells_in_an_ignore_box_are_not_judged():
    maps = target_maps(rows((20, 20, "ignore")), 1, (80, 80), 8)
    assert maps.judged[0, 2, 2] == 0
    assert maps.judged[0, 6, 6] == 1
    assert maps.object.sum() == 0


def test_the_loss_is_the_papers_written_out():
    maps = target_maps(rows((20, 20, "target"), (60, 40, "interference")), 1, (80, 80), 8)
    output = torch.randn(1, CHANNELS, 10, 10, generator=torch.Generator().manual_seed(0))
    parts = paper_loss(output, maps)
    location = classes = confidence = 0.0

    def bce(logit, wanted):
        p = 1 / (1 + np.exp(-logit))
        return -(wanted * np.log(p) + (1 - wanted) * np.log(1 - p))

    for r in range(10):
        for c in range(10):
            v, here = output[0, :, r, c].double().numpy(), maps.object[0, r, c].item()
            if maps.judged[0, r, c]:
                confidence += bce(v[CONFIDENCE], here)
            if here:
                for i in range(4):
                    d = abs(v[i] - maps.place[0, i, r, c].item())
                    location += d - 1 / 16 if d > 1 / 8 else 4 * d * d
                for i in range(2):
                    classes += bce(v[FIRST_CLASS + i], maps.classes[0, i, r, c].item())
    assert parts.location.item() == pytest.approx(location, rel=1e-4)
    assert parts.classes.item() == pytest.approx(classes, rel=1e-4)
    assert parts.confidence.item() == pytest.approx(confidence, rel=1e-4)
    assert parts.each(2, 3).item() == pytest.approx(2 * location + 3 * (classes + confidence), rel=1e-4)


@pytest.mark.parametrize("turn", range(8))
def test_boxes_turn_with_their_patch(turn):
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 3, 10] = 1
    table = rows((10.5, 3.5, "target"))
    y, x = np.argwhere(turn_image(image, turn)[0, 0].numpy() == 1)[0]
    turned = turn_boxes(table, turn, 16)[0]
    assert (turned["x"], turned["y"]) == (x + 0.5, y + 0.5)
    assert (turned["w"], turned["h"]) == ((4, 5) if turn & 4 else (5, 4))
