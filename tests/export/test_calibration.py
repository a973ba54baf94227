"""Which patches calibrate."""

import numpy as np
import pytest

from irdim.boxes import LABELS
from irdim.differencing import InputSpec, network_input
from irdim.errors import InputError
from irdim.patches import Patches
from irdim_calibration.select import _bins, choose_patches
from irdim_train.runs import load_model


@pytest.fixture(scope="module")
def patches(small_patches):
    return Patches.open(small_patches)


@pytest.fixture(scope="module")
def spec(small_run):
    return load_model(small_run)[1].input


@pytest.fixture(scope="module")
def wholes():
    return [np.random.default_rng(i).normal(0, 1, (4, 96, 120)).astype(np.float32) for i in range(2)]


def test_the_choice_is_the_same_each_time_and_never_of_validation_patches(patches, spec, wholes):
    chosen, again = (choose_patches(patches, spec, 64, wholes=wholes) for _ in range(2))
    assert chosen.digest == again.digest
    assert chosen.digest != choose_patches(patches, spec, 64, seed=1, wholes=wholes).digest
    assert not np.isin(chosen.rows, patches.rows("val")).any()
    assert len(np.unique(chosen.rows)) == len(chosen.rows)


def test_targets_background_and_places_that_nobody_chose_are_all_there(patches, spec, wholes):
    chosen = choose_patches(patches, spec, 64, wholes=wholes)
    assert sum(chosen.kinds.values()) == len(chosen.inputs) == 64
    assert chosen.kinds["whole frame"] == 10
    assert chosen.kinds["target"] >= 26
    with_target = np.isin(chosen.rows, patches.boxes["patch"]).sum()
    assert with_target == chosen.kinds["target"]


@pytest.mark.parametrize(("label", "counted"), [("interference", 5), ("ignore", 0)])
def test_regions_to_ignore_are_no_interference(patches, spec, label, counted):
    free = np.setdiff1d(patches.rows("train"), patches.boxes["patch"])[:5]
    more = np.zeros(5, patches.boxes.dtype)
    more["patch"], more["w"], more["h"], more["label"] = free, 5, 5, LABELS.index(label)
    boxes = np.concatenate([patches.boxes, more])
    labelled = Patches(patches.path, patches.description, patches.stacks, patches.table, boxes)
    assert choose_patches(labelled, spec, 64).kinds.get("interference", 0) == counted


def test_edges_have_more_structure_than_plain_sky(patches, spec):
    wanted = choose_patches(patches, spec, 64)
    assert wanted.kinds["edge"] > 0
    assert wanted.kinds["plain"] > 0
    assert "whole frame" not in wanted.kinds


def test_saturated_pixels_are_taken_where_there_are_any(patches, spec):
    stacks = patches.stacks[:]
    free = np.setdiff1d(patches.rows("train"), patches.boxes["patch"])
    stacks[free[:3], 0, 5, 5] = 60000
    spoilt = Patches(patches.path, patches.description, stacks, patches.table, patches.boxes)
    chosen = choose_patches(spoilt, spec, 64)
    assert chosen.kinds["extreme"] == 3
    assert np.isin(free[:3], chosen.rows).all()


def test_less_than_500_is_refused_unless_it_is_asked_for(patches, spec, wholes):
    few = Patches(
        patches.path,
        patches.description,
        patches.stacks[:100],
        patches.table[:100],
        patches.boxes[patches.boxes["patch"] < 100],
    )
    train = len(few.rows("train"))
    with pytest.raises(InputError, match=rf"gives {train} calibration patches, 512 are wanted; crop more, or say"):
        choose_patches(few, spec)
    assert len(choose_patches(few, spec, 64).inputs) == 64
    with pytest.raises(InputError) as refused:
        choose_patches(few, spec, wholes=wholes)
    proposed = int(str(refused.value).split()[-1])
    assert len(choose_patches(few, spec, proposed, wholes=wholes).inputs) == proposed  # what it proposes, it takes
    with pytest.raises(InputError, match=f"say --calibration {proposed}$"):
        choose_patches(few, spec, proposed + 1, wholes=wholes)
    with pytest.raises(InputError, match="1 calibration patches: at least 64"):
        choose_patches(few, spec, 1)


def test_no_training_patches_are_refused(patches, spec):
    none = Patches(patches.path, patches.description, patches.stacks[:10], patches.table[:10], patches.boxes[:0])
    with pytest.raises(InputError, match="calibration needs 64"):
        choose_patches(none, spec)


def test_rare_values_get_bins_of_their_own():
    bins = _bins(np.array([1.0] * 100 + [2.0, 4.0, 16.0]))
    assert list(bins[-4:]) == [0, 1, 2, 3]


def test_two_cameras_of_different_gain_give_the_same_ranges():
    rng = np.random.default_rng(0)
    scene = 100 * np.sin(np.arange(96) / 7) + rng.normal(0, 12, (4, 96, 96))
    spec = InputSpec("difference+frame")
    inputs = [network_input(np.rint(1000 + gain * scene).astype(np.uint16), spec, np.zeros((3, 2))) for gain in (1, 6)]
    most = [np.percentile(np.abs(x), 99.9) for x in inputs]
    assert most[1] == pytest.approx(most[0], rel=0.03)
