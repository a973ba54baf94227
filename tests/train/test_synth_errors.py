"""Planted label errors and the ledger of them."""

import csv
import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from irdim.boxes import LABELS, Box
from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.patches import Patches
from irdim_train.importing import import_sequences, plan_import
from irdim_train.synth import SynthOptions, sequence_jobs, write_jobs
from irdim_train.synth.label_errors import plant_errors
from irdim_train.synth.ledger import FILE, KINDS, read_ledger
from irdim_train.synth.patches import write_patches
from irdim_train.synth.presets import Counts

OPTIONS = SynthOptions(frames=60, targets=3, knots=2, label_errors=0.2)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoilt") / "recordings"
    write_jobs(folder, sequence_jobs(OPTIONS, 4))
    return folder


def boxes_of(folder):
    """From boxes.csv, by frame."""
    found = defaultdict(list)
    with (folder / "boxes.csv").open() as file:
        for r in csv.DictReader(file):
            x, y, w, h = (float(r[name]) for name in ("x", "y", "width", "height"))
            found[int(r["frame"])].append(Box(round(x + w / 2, 3), round(y + h / 2, 3), w, h, r["label"]))
    return found


def by_place(boxes):
    return sorted((f, b.x, b.y, b.w, b.h, b.label) for f, there in boxes.items() for b in there)


def test_the_four_kinds_are_planted_in_equal_shares_at_the_requested_rate(spoilt):
    errors = read_ledger(spoilt)
    truth = [json.loads(p.read_text()) for p in sorted(spoilt.glob("*/truth.json"))]
    targets = sum(len(s["visible"]) for t in truth for s in t["spots"] if s["label"] == "target")
    assert len(errors) == pytest.approx(0.2 * targets, abs=4)
    kinds = Counter(e.kind for e in errors)
    assert set(kinds) == set(KINDS)
    assert max(kinds.values()) - min(kinds.values()) <= 8


def test_undoing_the_ledger_gives_the_labels_of_the_same_sequences_without_errors(spoilt, tmp_path):
    clean = SynthOptions(frames=60, targets=3, knots=2)
    write_jobs(tmp_path, sequence_jobs(clean, 4))
    for folder in sorted(spoilt.iterdir()):
        assert (folder / "frames.npy").read_bytes() == (tmp_path / folder.name / "frames.npy").read_bytes()
        boxes = boxes_of(folder)
        for e in read_ledger(folder):
            if e.written is not None:
                boxes[e.frame].remove(e.written)
            if e.true is not None:
                boxes[e.frame].append(e.true)
        assert by_place(boxes) == by_place(boxes_of(tmp_path / folder.name))


def test_each_error_is_of_its_kind(spoilt):
    for e in read_ledger(spoilt):
        clean = [b for b in boxes_of(spoilt / e.sequence)[e.frame] if b != e.written]
        if e.kind == "unlabelled":
            assert e.written is None
            assert e.true.label == "target"
        elif e.kind == "misplaced":
            assert 3 <= np.hypot(e.written.x - e.true.x, e.written.y - e.true.y) <= 8.1
        elif e.kind == "wrong-category":
            assert {e.true.label, e.written.label} == {"target", "interference"}
            assert (e.true.x, e.true.y) == (e.written.x, e.written.y)
        else:
            assert e.true is None
            assert e.written.label == "target"
            assert all(np.hypot(b.x - e.written.x, b.y - e.written.y) > 3 for b in clean)


def test_wrong_categories_go_both_ways(spoilt):
    assert {e.true.label for e in read_ledger(spoilt) if e.kind == "wrong-category"} == {"target", "interference"}


def test_the_data_set_has_the_written_labels_and_knows_nothing_of_the_ledger(spoilt, tmp_path):
    import_sequences(plan_import([spoilt]), tmp_path / "data")
    assert not list((tmp_path / "data").rglob(FILE))
    errors = {(e.sequence, e.frame, e.written.x, e.written.y) for e in read_ledger(spoilt) if e.written}
    with Dataset.open(tmp_path / "data") as data:
        stored = {
            (s.name, f, round(b.x, 3), round(b.y, 3))
            for s in data.sequences()
            for f, there in data.boxes(s).items()
            for b in there
        }
    assert errors <= stored


def test_patches_have_a_ledger_too(tmp_path):
    options = SynthOptions(label_errors=0.3)
    write_patches(tmp_path / "spoilt", options, Counts(40, 80, 4, 4), size=32, frame_step=1)
    errors = read_ledger(tmp_path / "spoilt")
    assert len(errors) == pytest.approx(0.3 * 90, abs=5)
    boxes = Patches.open(tmp_path / "spoilt").boxes
    for e in errors:
        here = boxes[boxes["patch"] == e.frame]
        labels = [(np.float32(b["x"]), np.float32(b["y"]), LABELS[b["label"]]) for b in here]
        if e.written:
            assert (np.float32(e.written.x), np.float32(e.written.y), e.written.label) in labels
        if e.true:
            assert (np.float32(e.true.x), np.float32(e.true.y), e.true.label) not in labels


def test_no_error_is_planted_where_there_is_no_target_or_no_room():
    rng = np.random.default_rng(0)
    assert plant_errors({}, 10, (64, 64), 1.0, rng) == ({}, [])
    crowded = {0: [Box(x, y, 3.0, 3.0) for x in range(2, 20, 4) for y in range(2, 20, 4)]}
    _, errors = plant_errors(crowded, 1, (20, 20), 1.0, rng)
    assert {e.kind for e in errors} <= {"unlabelled", "wrong-category", "misplaced"}


def test_a_ledger_that_is_not_one_is_refused_in_one_line(spoilt, tmp_path):
    with pytest.raises(InputError, match=r"no ledger\.json here"):
        read_ledger(tmp_path)
    for text in (
        "{",
        '{"format": "irdim-ledger", "version": 9}',
        '{"format": "irdim-ledger", "version": 1, "errors": [{}]}',
    ):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(InputError, match=r"ledger\.json"):
            read_ledger(tmp_path)
