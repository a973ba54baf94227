import csv
import dataclasses
import json

import numpy as np
import pytest

from irdim.errors import InputError
from irdim.registration import estimate_shift, texture
from irdim_train.importing import import_sequences, plan_import
from irdim_train.synth import SynthOptions, generate, write_sequences
from irdim_train.synth.sky import Sky

PLAIN = SynthOptions(frames=12, clouds=0, wind=0, drift=0, jitter=0, bad_pixels=0, targets=0, knots=0)


def test_same_options_same_bytes_and_another_seed_another_sequence():
    a, b = (generate(SynthOptions(frames=6, seed=4)) for _ in range(2))
    assert a.frames.tobytes() == b.frames.tobytes()
    assert (a.boxes, a.truth) == (b.boxes, b.truth)
    assert generate(SynthOptions(frames=6, seed=5)).frames.tobytes() != a.frames.tobytes()


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (12, np.uint16), (14, np.uint16), (16, np.uint16)])
def test_the_noise_is_what_was_asked_for_within_2_percent(bits, dtype):
    options = dataclasses.replace(PLAIN, bits=bits, noise=3.0)
    frames = generate(options).frames
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


def test_the_local_scr_is_what_was_asked_for():
    spots = [
        s
        for i in range(4)
        for s in generate(SynthOptions(frames=20, scr=5.0), i).truth["spots"]
        if s["label"] == "target"
    ]
    assert len(spots) >= 4
    assert [s["local_scr"] for s in spots] == pytest.approx([5.0] * len(spots), rel=0.1)


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


def test_the_camera_moves_as_the_truth_says_within_a_tenth_of_a_pixel():
    made = generate(
        SynthOptions(frames=12, clouds=60, wind=0, drift=1.5, jitter=0.1, targets=0, knots=0, fixed_pattern=0)
    )
    shifts = np.array(made.truth["sky_shift"])
    for t in range(4, 12, 3):
        measured = estimate_shift(texture(made.frames[t - 4]), texture(made.frames[t]))
        assert measured == pytest.approx(shifts[t] - shifts[t - 4], abs=0.1)


def test_what_mimics_a_target_is_interference():
    made = generate(SynthOptions(frames=20, bad_pixels=1e-3, knots=2))
    assert {b.label for boxes in made.boxes.values() for b in boxes} == {"target", "interference"}


def test_written_sequences_are_imported_whole_and_a_second_call_adds_nothing(tmp_path):
    options = SynthOptions(frames=8, width=64, height=48)
    first = write_sequences(tmp_path / "out", options, 2)
    again = write_sequences(tmp_path / "out", options, 2)
    assert (first["already_there"], again["already_there"], again["frames"]) == (0, 2, 0)
    result = import_sequences(plan_import([tmp_path / "out"]), tmp_path / "data")
    assert sum(s["sequences"] for s in result.splits.values()) == 2
    truth = json.loads((tmp_path / "out" / "synth-0-000" / "truth.json").read_text())
    assert truth["format"] == "irdim-synth"


def test_other_options_in_the_same_folder_are_refused(tmp_path):
    write_sequences(tmp_path, SynthOptions(frames=4, width=64, height=48), 1)
    with pytest.raises(InputError, match="was generated with other options"):
        write_sequences(tmp_path, SynthOptions(frames=4, width=64, height=48, snr=9), 1)


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"width": 8}, {"bits": 7}, {"snr": 0}, {"polarity": "warm"}, {"drift": float("nan")}]
)
def test_a_request_that_makes_no_sense_is_named(wrong):
    with pytest.raises(InputError, match=f"--{'size' if 'width' in wrong else next(iter(wrong))}"):
        SynthOptions(**wrong)


def test_targets_move_over_the_sky_at_the_requested_speed():
    made = generate(SynthOptions(speed=1.5, drift=0.7, jitter=0, seed=2))
    for spot in (s for s in made.truth["spots"] if s["kind"] == "target"):
        over_sky = np.array(spot["track"]) - made.truth["sky_shift"]
        assert np.hypot(*np.diff(over_sky, axis=0).T) == pytest.approx(1.5, abs=0.01)


def test_half_a_pixel_of_motion_blurs_nothing():
    sky = Sky(SynthOptions(clouds=40, wind=0), np.random.default_rng(0))
    sharp = [np.diff(sky.radiance(0, np.array([0.0, dx])), axis=1).std() for dx in (0.0, 0.5)]
    assert sharp[1] == pytest.approx(sharp[0], rel=0.02)


def test_targets_enter_and_leave_and_are_labelled_only_inside():
    made = generate(SynthOptions(frames=300, speed=2.0, bits=8))
    spots = [s for s in made.truth["spots"] if s["kind"] == "target"]
    assert any(s["visible"][0] > 0 for s in spots)
    assert any(s["visible"][-1] < 299 for s in spots)
    for boxes in made.boxes.values():
        assert all(0 <= b.x < 160 and 0 <= b.y < 128 for b in boxes)


def test_another_snr_leaves_sky_and_noise_as_they_were():
    one, other = (generate(SynthOptions(snr=snr, knots=0)) for snr in (3.0, 30.0))
    assert one.truth["sky_shift"] == other.truth["sky_shift"]
    assert np.mean(one.frames == other.frames) > 0.95


def test_truth_and_boxes_agree(tmp_path):
    write_sequences(tmp_path, SynthOptions(frames=10), 1)
    truth = json.loads((tmp_path / "synth-0-000/truth.json").read_text())
    with (tmp_path / "synth-0-000/boxes.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["label"] == "target"]
    told = sorted((t, *s["track"][t]) for s in truth["spots"] if s["label"] == "target" for t in s["visible"])
    written = sorted(
        (int(r["frame"]), float(r["y"]) + float(r["height"]) / 2, float(r["x"]) + float(r["width"]) / 2) for r in rows
    )
    assert np.allclose(told, written, atol=2e-3)


def test_dead_pixels_stand_still_and_flickering_ones_are_labelled_when_lit():
    made = generate(SynthOptions(bad_pixels=4e-4, knots=2))
    dead = [p for p in made.truth["bad_pixels"] if p["kind"] == "dead"]
    flickering = [p for p in made.truth["bad_pixels"] if p["kind"] == "flickering"]
    assert len(dead) == len(flickering) == 4
    assert all(made.frames[:, p["row"], p["column"]].std() == 0 for p in dead)
    for p in flickering:
        at = [any((b.x, b.y) == (p["column"] + 0.5, p["row"] + 0.5) for b in made.boxes[t]) for t in range(60)]
        assert 0 < sum(at) < 60
        counts = made.frames[:, p["row"], p["column"]].astype(float)
        lit, unlit = counts[np.array(at)], counts[~np.array(at)]
        assert abs(lit.mean() - unlit.mean()) > 3 * made.truth["noise_sigma"]
    assert {b.label for boxes in made.boxes.values() for b in boxes if b.w == 3.0} == {"interference"}
    assert sum(s["label"] == "interference" for s in made.truth["spots"]) >= 2
