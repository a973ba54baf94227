"""Patches straight away: the patch file's promises, and that they are what crop would cut from such sequences."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from irdim.boxes import LABELS, Box
from irdim.dataset import Dataset
from irdim.differencing import InputSpec, planes
from irdim.errors import InputError
from irdim.noise import noise_sigma
from irdim.patches import Patches
from irdim.scr import local_scr
from irdim_train.cli import app
from irdim_train.crop import crop
from irdim_train.importing import import_sequences, plan_import
from irdim_train.synth import SynthOptions, sequence_jobs, write_jobs
from irdim_train.synth.patches import write_patches
from irdim_train.synth.presets import PRESETS, Counts, interleaved, preset, shares, stack_jobs

SMALL = SynthOptions(width=112, height=80, scr=6.0)
COUNTS = Counts(60, 60, 10, 10)


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "patches"
    write_patches(out, SMALL, COUNTS, size=48, frame_step=2)
    return Patches.open(out)


def files(folder):
    """Digests of the patch file proper; the data set's holds the time at which it was made."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.npy")}


@pytest.mark.parametrize(("options", "share"), [([], 0.0), (["--whole-frames", "0.5"], 0.5)])
def test_training_reads_its_few_whole_frames_only_where_asked_to(patches, tmp_path, options, share):
    words = ["fit", str(patches.path), "--out", str(tmp_path / "run"), "--width", "0.125", "--batch", "16"]
    done = CliRunner().invoke(app, [*words, "--epochs", "0.1", *options, "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["config"]["whole"] == share


def test_same_options_same_bytes_with_one_process_and_with_two(patches, tmp_path):
    write_patches(tmp_path / "again", SMALL, COUNTS, size=48, frame_step=2, workers=2)
    assert files(tmp_path / "again") == files(patches.path)
    again = json.loads((tmp_path / "again" / "patches.json").read_text())
    assert again["digest"] == patches.description["digest"]
    write_patches(tmp_path / "other", dataclasses.replace(SMALL, seed=1), COUNTS, size=48, frame_step=2)
    assert files(tmp_path / "other") != files(patches.path)


def test_splits_and_targets_are_as_many_as_asked_for(patches):
    holds = np.zeros(len(patches.table), bool)
    holds[patches.boxes["patch"][patches.boxes["label"] == LABELS.index("target")]] = True
    train, val = patches.rows("train"), patches.rows("val")
    assert (holds[train].sum(), (~holds[train]).sum()) == (60, 60)
    assert (holds[val].sum(), (~holds[val]).sum()) == (10, 10)
    assert not set(patches.table["sequence"][train]) & set(patches.table["sequence"][val])
    assert len(np.unique(patches.stacks[:].reshape(len(holds), -1), axis=0)) == len(holds)


def test_the_local_scr_is_the_requested_one_within_10_percent(patches):
    measured = []
    for b in patches.boxes[patches.boxes["label"] == LABELS.index("target")]:
        measured.append(local_scr(patches.stacks[int(b["patch"])][0], Box(*(float(b[n]) for n in "xywh"))))
    assert len(measured) >= 70
    assert np.median(measured) == pytest.approx(6.0, rel=0.1)


def test_older_frames_are_laid_over_the_newest_so_that_the_sky_cancels(tmp_path):
    options = dataclasses.replace(
        SMALL, clouds=200, drift=3.0, wind=0.0, fixed_pattern=0, targets=0, knots=0, bad_pixels=0
    )
    write_patches(tmp_path / "p", options, Counts(32, 0, 0, 0), size=48, frame_step=2)
    p = Patches.open(tmp_path / "p")
    spec = InputSpec("difference", 2, True)
    aligned = np.stack([planes(s, spec, row["shift"]) for s, row in zip(p.stacks[:], p.table, strict=True)])
    stacks = p.stacks[:].astype(float)
    raw = stacks[:, :1] - np.roll(stacks[:, 1:], 3, axis=3)
    assert np.abs(p.table["shift"]).max() <= 0.5
    assert aligned.std() < 1.1 * 2**0.5 * options.sigma < 0.5 * raw.std()


def test_the_noise_scale_is_that_of_the_whole_scene(patches):
    spec = InputSpec("difference", 2, True)
    for number in np.unique(patches.table["sequence"]):
        rows = np.flatnonzero(patches.table["sequence"] == number)
        if len(rows) < 20:
            continue
        difference = [planes(patches.stacks[i], spec, patches.table["shift"][i]) for i in rows]
        told = patches.table["sigma_difference"][rows]
        assert np.all(told == told[0])
        assert told[0] == pytest.approx([noise_sigma(d, 2) for d in np.concatenate(difference, 1)], rel=0.05)


def test_generated_patches_are_scaled_as_crop_scales_those_of_generated_sequences(tmp_path):
    options = SynthOptions(width=128, height=96, frames=14, drift=0, jitter=0)
    write_patches(tmp_path / "p", options, Counts(200, 60, 0, 0), size=48, frame_step=2, register=False)
    write_jobs(tmp_path / "r", sequence_jobs(options, 8))
    import_sequences(plan_import([tmp_path / "r"]), tmp_path / "d")
    with Dataset.open(tmp_path / "d") as data:
        crop(data, tmp_path / "c", size=48, frame_step=2, register=False)
    generated, cut = Patches.open(tmp_path / "p"), Patches.open(tmp_path / "c")
    for name in ("sigma_difference", "sigma_frame"):
        assert np.median(generated.table[name]) == pytest.approx(np.median(cut.table[name]), rel=0.1)


def test_fit_trains_on_them_and_chooses_its_threshold_on_the_whole_frames_beside_them(patches, tmp_path):
    from irdim_train.fit import fit
    from irdim_train.runs import FitConfig

    with Dataset.open(patches.path / "data") as data:
        assert {s.split for s in data.sequences()} == {"train", "val"}
        assert data.sequences()[0].height == 80
    run = fit(patches, tmp_path / "run", FitConfig(width=0.125, epochs=1, batch=16))
    assert run["threshold_chosen"]["on"] == "val"
    assert run["scores"]["val"]["targets"] > 0


def test_the_paper_preset_has_the_papers_numbers_and_scales_by_one():
    counts = preset("paper").counts(1.0)
    assert counts.total == 89_510
    assert counts.train_background + counts.val_background == 54_489
    assert counts.train_target + counts.val_target == 35_021
    assert counts.train_background + counts.train_target == 85_010
    assert preset("paper").counts(0.01).total in (895, 896)
    assert (PRESETS["paper"].options["width"], PRESETS["paper"].options["height"]) == (640, 512)


def test_stacks_of_the_preset_are_sequences_of_four_frames_with_or_without_target(tmp_path):
    options = SynthOptions(**{**preset("paper").options, "width": 96, "height": 80})
    jobs = stack_jobs(options, Counts(5, 4, 2, 1))
    done = write_jobs(tmp_path, jobs)
    assert (done["sequences"], done["frames"]) == (12, 48)
    for job in jobs:
        truth = json.loads((tmp_path / job.name / "truth.json").read_text())
        assert np.load(tmp_path / job.name / "frames.npy").shape == (4, 80, 96)
        shown = [s for s in truth["spots"] if s["kind"] == "target" and 3 in s["visible"]]
        assert bool(shown) == bool(job.options.targets)
    assert sum(job.name.startswith("val-") for job in jobs) == 3


def test_kinds_are_mixed_evenly():
    kinds = interleaved(75, 25)
    assert (len(kinds), sum(kinds)) == (100, 25)
    assert all(sum(kinds[i : i + 4]) == 1 for i in range(0, 100, 4))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"size": 20}, "--patch-size 20"),
        ({"size": 88}, "--patch-size 88"),
        ({"frame_step": 0}, "frame step 0"),
        ({"frame_step": 40}, "the camera moves so far"),
    ],
)
def test_patches_that_cannot_be_cut_are_refused_and_leave_nothing(wrong, named, tmp_path):
    with pytest.raises(InputError, match=named):
        write_patches(tmp_path / "p", dataclasses.replace(SMALL, drift=2.0), COUNTS, **{"size": 48, **wrong})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("numbers", "named"),
    [((1, 0.5, 0.1), "--stacks"), ((9, 1.5, 0.1), "--target-share"), ((9, 0.5, 1.0), "--val-share")],
)
def test_shares_that_make_no_sense_are_named(numbers, named):
    with pytest.raises(InputError, match=named):
        shares(*numbers)


@pytest.mark.parametrize("scale", [0, 1.5, 1e-6, float("nan")])
def test_a_scale_that_makes_no_sense_is_named(scale):
    with pytest.raises(InputError, match="--scale"):
        preset("paper").counts(scale)
