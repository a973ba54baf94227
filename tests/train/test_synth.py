"""Generated sequences: the numbers that were asked for, measured back, and the truth beside them."""

import csv
import dataclasses
import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from irdim.errors import InputError
from irdim.registration import estimate_shift, texture
from irdim.scr import local_scr
from irdim_train.cli import app
from irdim_train.importing import import_sequences, plan_import
from irdim_train.synth import SynthOptions, generate, sequence_jobs, write_jobs

PLAIN = SynthOptions(frames=12, clouds=0, wind=0, drift=0, jitter=0, bad_pixels=0, targets=0, knots=0)
SMALL = SynthOptions(frames=8, width=64, height=48)


def spots_of(made, kind="target"):
    return [s for s in made.truth["spots"] if s["kind"] == kind]


def digest(folder):
    parts = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return hashlib.sha256(b"".join(str(p.relative_to(folder)).encode() + p.read_bytes() for p in parts)).hexdigest()


def test_same_options_same_bytes_in_another_process_and_with_other_workers(tmp_path):
    write_jobs(tmp_path / "here", sequence_jobs(SMALL, 3))
    words = ["--sequences", "3", "--frames", "8", "--size", "64x48", "--workers", "2"]
    subprocess.run([sys.executable, "-m", "irdim_train", "synth", str(tmp_path / "there"), *words], check=True)
    assert digest(tmp_path / "here") == digest(tmp_path / "there")
    write_jobs(tmp_path / "other", sequence_jobs(dataclasses.replace(SMALL, seed=1), 3))
    assert digest(tmp_path / "other") != digest(tmp_path / "here")


@pytest.mark.parametrize("shot", [0.0, 1.0])
@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (12, np.uint16), (14, np.uint16), (16, np.uint16)])
def test_the_noise_is_what_was_asked_for_within_2_percent(bits, dtype, shot):
    frames = generate(dataclasses.replace(PLAIN, bits=bits, noise=3.0, shot=shot)).frames
    assert frames.dtype == dtype
    assert frames.max() < 2**bits
    difference = np.diff(frames.astype(np.float64), axis=0)
    assert difference.std() / np.sqrt(2) == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize("polarity", ["hot", "cold"])
@pytest.mark.parametrize("snr", [3.0, 6.0, 20.0])
def test_the_peak_is_what_was_asked_for_within_10_percent(snr, polarity):
    """The other random streams stay as they were without targets, so the difference of the two is the targets alone."""
    with_targets = dataclasses.replace(PLAIN, frames=40, noise=40.0, targets=2, snr=snr, polarity=polarity)
    alone = generate(with_targets).frames.astype(float) - generate(dataclasses.replace(with_targets, targets=0)).frames
    highest = np.abs(alone).max() / 40.0
    assert highest == pytest.approx(snr, rel=0.1)
    strongest = alone.ravel()[np.abs(alone).argmax()]
    assert (strongest > 0) == (polarity == "hot")


@pytest.mark.parametrize(
    "others",
    [{}, {"clouds": 40, "edges": "hard", "layers": 3}, {"psf": "airy", "horizon": 0.6}, {"bits": 8, "speed": 2}],
    ids=str,
)
@pytest.mark.parametrize("scr", [3.0, 6.0, 15.0])
def test_the_local_scr_measured_on_the_frames_is_the_requested_one_within_10_percent(scr, others):
    measured = []
    for i in range(5):
        made = generate(SynthOptions(frames=20, scr=scr, targets=4, knots=0, **others), i)
        for t, boxes in made.boxes.items():
            measured += [local_scr(made.frames[t], b) for b in boxes if b.label == "target"]
    assert len(measured) > 100
    assert np.median(measured) == pytest.approx(scr, rel=0.1)


def test_targets_are_as_large_as_was_asked_for():
    """The light of one target on frames without noise: its second moment is sigma squared, and the pixel's own twelfth."""
    options = dataclasses.replace(
        PLAIN,
        frames=30,
        width=160,
        noise=40.0,
        targets=1,
        snr=60.0,
        polarity="hot",
        extent=4.0,
        elongation=2.0,
        exposure=0.0,
    )
    sigmas: list[tuple[float, float]] = []
    for seed in range(6):
        one = dataclasses.replace(options, seed=seed)
        made, bare = generate(one), generate(dataclasses.replace(one, targets=0))
        for spot in spots_of(made):
            places = np.array(spot["track"])
            inside = [t for t, (y, x) in enumerate(places) if 20 < y < 108 and 20 < x < 140]
            for t in inside[:1]:
                light = (made.frames[t].astype(float) - bare.frames[t]).clip(0)
                weights = light / light.sum()
                moments = []
                for axis in (0, 1):
                    at = np.expand_dims(np.arange(light.shape[axis]) + 0.5 - places[t, axis], 1 - axis)
                    moments.append(float(np.sqrt((weights * at**2).sum() - 1 / 12)))
                assert moments == pytest.approx(spot["sigma"], rel=0.1)
                sigmas.append((moments[0], moments[1]))
    assert len(sigmas) >= 4
    assert 2.5 < max(height for height, _ in sigmas) < np.hypot(0.7, 4.0) * 1.1
    ratios = [width / height for height, width in sigmas]
    assert min(ratios) > 0.95
    assert 1.3 < max(ratios) < 2.1


def test_boxes_lie_on_the_targets():
    options = dataclasses.replace(PLAIN, frames=20, noise=40.0, targets=1, snr=30.0, polarity="hot")
    made = generate(options)
    alone = made.frames.astype(float) - generate(dataclasses.replace(options, targets=0)).frames
    seen = 0
    for frame, boxes in made.boxes.items():
        for box in boxes:
            if 8 < box.x < 152 and 8 < box.y < 120:
                top, left = int(box.y) - 6, int(box.x) - 6
                window = np.clip(alone[frame, top : top + 13, left : left + 13], 0, None)
                y, x = np.mgrid[top : top + 13, left : left + 13] + 0.5
                assert (x * window).sum() / window.sum() == pytest.approx(box.x, abs=0.3)
                assert (y * window).sum() / window.sum() == pytest.approx(box.y, abs=0.3)
                seen += 1
    assert seen > 5


@pytest.mark.parametrize("motion", [{"drift": 1.5, "jitter": 0.1}, {"drift": 0, "pan": 1.7, "jitter": 0.3}])
def test_the_camera_moves_as_the_truth_says_within_a_tenth_of_a_pixel(motion):
    made = generate(
        SynthOptions(frames=12, clouds=60, wind=0, targets=0, knots=0, fixed_pattern=0, bad_pixels=0, **motion)
    )
    shifts = np.array(made.truth["sky_shift"])
    assert np.abs(shifts[-1]).max() > 8
    for t in range(4, 12):
        measured = estimate_shift(texture(made.frames[t - 4]), texture(made.frames[t]))
        assert measured == pytest.approx(shifts[t] - shifts[t - 4], abs=0.1)


def test_a_layer_of_cloud_drifts_as_the_truth_says_within_a_tenth_of_a_pixel():
    still = {"drift": 0, "jitter": 0, "targets": 0, "knots": 0, "fixed_pattern": 0, "bad_pixels": 0}
    made = generate(SynthOptions(frames=9, clouds=200, layers=1, wind=1.0, **still))
    measured = estimate_shift(texture(made.frames[0]), texture(made.frames[8]))
    assert measured == pytest.approx(8 * np.array(made.truth["winds"][0]), abs=0.1)


def test_what_mimics_a_target_is_interference():
    made = generate(SynthOptions(frames=20, bad_pixels=1e-3, knots=2))
    assert {b.label for boxes in made.boxes.values() for b in boxes} == {"target", "interference"}


def test_written_sequences_are_imported_whole_and_a_second_call_adds_nothing(tmp_path):
    first, again = (write_jobs(tmp_path / "out", sequence_jobs(SMALL, 2)) for _ in range(2))
    assert (first["already_there"], again["already_there"], again["frames"]) == (0, 2, 0)
    result = import_sequences(plan_import([tmp_path / "out"]), tmp_path / "data")
    assert sum(s["sequences"] for s in result.splits.values()) == 2
    truth = json.loads((tmp_path / "out" / "synth-0-000" / "truth.json").read_text())
    assert truth["format"] == "irdim-synth"


def test_other_options_in_the_same_folder_are_refused(tmp_path):
    write_jobs(tmp_path, sequence_jobs(SMALL, 1))
    with pytest.raises(InputError, match="was generated with other options"):
        write_jobs(tmp_path, sequence_jobs(dataclasses.replace(SMALL, snr=9), 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 0},
        {"width": 8},
        {"width": 100_000},
        {"bits": 7},
        {"snr": 0},
        {"scr": 1.0},
        {"polarity": "warm"},
        {"edges": "blunt"},
        {"psf": "box"},
        {"drift": float("nan")},
        {"horizon": 1.5},
        {"layers": 0},
        {"occlusion": 2},
        {"stripes": -1},
        {"noise": 0.1},
        {"noise": 1e6},
        {"column_noise": 1.0},
        {"label_errors": float("nan")},
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_named(wrong):
    option = next(iter(wrong)).replace("_", "-")
    with pytest.raises(InputError, match=f"--{'size' if option == 'width' else option}"):
        SynthOptions(**wrong)


def test_more_than_the_disk_holds_is_refused_before_anything_is_written(tmp_path):
    huge = SynthOptions(width=4096, height=4096, frames=100_000)
    with pytest.raises(InputError, match="GB to write"):
        write_jobs(tmp_path / "out", sequence_jobs(huge, 1000))
    assert not (tmp_path / "out").exists()


def test_targets_move_over_the_sky_at_the_requested_speed_whatever_they_do():
    kinds = set()
    for i in range(6):
        made = generate(SynthOptions(speed=1.5, drift=0.7, jitter=0, manoeuvres=0.7, targets=4), i)
        for spot in spots_of(made):
            over_sky = np.array(spot["track"]) - made.truth["sky_shift"]
            steps = np.diff(over_sky, axis=0)
            assert np.hypot(*steps.T) == pytest.approx(1.5, abs=0.01)
            turns = np.ptp(np.unwrap(np.arctan2(*steps.T)))
            assert (turns < 0.01) == (spot["manoeuvre"] == "straight")
            kinds.add(spot["manoeuvre"])
    assert kinds == {"straight", "turn", "weave", "jink"}


def test_targets_enter_and_leave_and_are_labelled_only_inside():
    made = generate(SynthOptions(frames=300, speed=2.0, bits=8))
    spots = spots_of(made)
    assert any(s["visible"][0] > 0 for s in spots)
    assert any(s["visible"][-1] < 299 for s in spots)
    for boxes in made.boxes.values():
        assert all(0 <= b.x < 160 and 0 <= b.y < 128 for b in boxes)


def test_a_target_that_flies_behind_a_cloud_dims_and_is_not_labelled_while_it_is_hidden():
    options = SynthOptions(frames=120, occlusion=1, targets=4, clouds=30, knots=0, bad_pixels=0, snr=20, polarity="hot")
    hidden, seen = [], []
    for i in range(3):
        made, bare = (generate(dataclasses.replace(options, targets=n), i) for n in (4, 0))
        light = made.frames.astype(float) - bare.frames
        for spot in spots_of(made):
            for times, peaks in ((spot["hidden"], hidden), (spot["visible"], seen)):
                for t in times:
                    y, x = np.floor(spot["track"][t]).astype(int)
                    peaks.append(light[t, y, x] / spot["peak"])
            assert not any(
                np.allclose((b.y, b.x), spot["track"][t], atol=0.01)
                for t in spot["hidden"]
                for b in made.boxes.get(t, [])
            )
    assert len(hidden) > 20
    assert np.median(hidden) < 0.5 < np.median(seen)


def test_targets_cross_where_it_is_asked_for():
    made = generate(SynthOptions(frames=60, crossing=1, occlusion=0, targets=2), 2)
    tracks = np.array([s["track"] for s in spots_of(made)])
    assert len(tracks) >= 2
    nearest = min(np.hypot(*(a - b).T).min() for i, a in enumerate(tracks) for b in tracks[:i])
    assert nearest < 0.01


def test_another_snr_leaves_sky_and_noise_as_they_were():
    one, other = (generate(SynthOptions(snr=snr, knots=0)) for snr in (3.0, 30.0))
    assert one.truth["sky_shift"] == other.truth["sky_shift"]
    assert np.mean(one.frames == other.frames) > 0.95


def test_truth_and_boxes_agree(tmp_path):
    write_jobs(tmp_path, sequence_jobs(SynthOptions(frames=10), 1))
    truth = json.loads((tmp_path / "synth-0-000/truth.json").read_text())
    with (tmp_path / "synth-0-000/boxes.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["label"] == "target"]
    told = sorted((t, *s["track"][t]) for s in truth["spots"] if s["label"] == "target" for t in s["visible"])
    written = sorted(
        (int(r["frame"]), float(r["y"]) + float(r["height"]) / 2, float(r["x"]) + float(r["width"]) / 2) for r in rows
    )
    assert told
    assert np.allclose(told, written, atol=2e-3)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--size", "10"], "--size 10: write WIDTHxHEIGHT"),
        (["--sequences", "0"], "--sequences 0"),
        (["--stacks", "9"], "--stacks is for --patches"),
        (["--patches", "--frames", "9"], "--frames is for sequences"),
        (["--scale", "0.5"], "--scale scales a --preset"),
        (["--preset", "papre"], "--preset papre: one of paper"),
        (["--preset", "paper", "--sequences", "3"], "--sequences is decided by the --preset"),
        (["--snr", "4", "--scr", "4"], "give one of them"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_make_no_sense_together_are_refused_and_nothing_is_written(words, named, tmp_path):
    result = CliRunner().invoke(app, ["synth", str(tmp_path / "out"), *words])
    assert isinstance(result.exception, InputError)
    assert named in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_an_option_given_beside_a_preset_wins(tmp_path):
    words = ["--preset", "paper", "--scale", "0.001", "--size", "64x48", "--layers", "1", "--snr", "9", "--json"]
    result = CliRunner().invoke(app, ["synth", str(tmp_path), *words])
    assert json.loads(result.stdout)["sequences"] in (89, 90)
    truth = json.loads(next(tmp_path.glob("val-*/truth.json")).read_text())["options"]
    assert (truth["width"], truth["layers"], truth["snr"], truth["scr"], truth["stripes"]) == (64, 1, 9, None, 20)
