"""Labels that the network disagrees with: the four kinds on hand-made maps, and planted errors found, queued and mended."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from rendered import make_data, render_sequence
from typer.testing import CliRunner

from irdim.boxes import Box
from irdim.dataset import Dataset, LabelledBox
from irdim.dataset.records import WRONG_LABELS
from irdim.errors import InputError
from irdim.sources import Frame
from irdim_train.cli import app
from irdim_train.refining import RefineOptions, enqueue_doubts, folds, refine
from irdim_train.refining.context import with_context
from irdim_train.refining.disagreement import Doubt, judge_frame
from irdim_train.refining.folds import start_of_folds
from irdim_train.refining.histogram import write_histogram
from irdim_train.refining.rates import without_common
from irdim_train.refining.thresholds import choose_threshold, valley
from irdim_train.runs import FitConfig

CRUDE = 4.5  # px; small_run was trained for seconds
FIRST = 8  # doubts of a kind, of about 200 labels


def output(*answers: tuple[float, float, float, str]) -> np.ndarray:
    """A raw map of 8 x 8 cells that sees nothing but these (x, y, confidence logit, label)."""
    raw = np.zeros((7, 8, 8), np.float32)
    raw[:2], raw[2:4], raw[4] = 0.5, np.log(5 / 8), -6
    for x, y, z, label in answers:
        row, column = int(y // 8), int(x // 8)
        raw[0, row, column], raw[1, row, column], raw[4, row, column] = x / 8 - column, y / 8 - row, z
        raw[5:, row, column] = (4, -4) if label == "target" else (-4, 4)
    return raw


def doubts(raw: np.ndarray, *labels: LabelledBox) -> list[Doubt]:
    return [d for d in judge_frame(raw, labels, 3, 8, (64, 64), 0.5).doubts if d.excess > 0]


def label(x: float, y: float, kind: str = "target", number: int = 1, side: float = 5.0) -> LabelledBox:
    return LabelledBox(x, y, side, side, kind, number)


def test_a_right_label_is_not_doubted():
    assert doubts(output((20, 20, 5, "target")), label(20.2, 20)) == []


def test_what_is_seen_and_not_labelled_is_proposed():
    (d,) = doubts(output((20, 20, 5, "target")))
    assert (d.kind, d.box_id, d.box.label) == ("unlabelled", None, "target")
    assert (d.box.x, d.box.y) == pytest.approx((20, 20), abs=0.01)


@pytest.mark.parametrize("away", [3.2, 5, 8])
def test_a_label_beside_its_target_is_moved_onto_it(away):
    (d,) = doubts(output((20, 20, 5, "target")), label(20 + away, 20))
    assert (d.kind, d.box_id) == ("misplaced", 1)
    assert d.box.x == pytest.approx(20, abs=0.01)
    assert d.away == pytest.approx(away, abs=0.01)


def test_the_other_class_is_proposed():
    (d,) = doubts(output((20, 20, 5, "interference")), label(20, 20))
    assert (d.kind, d.box.label) == ("wrong-category", "interference")


def test_a_label_where_nothing_is_seen_is_to_be_taken_away():
    (d,) = doubts(output(), label(20, 20))
    assert (d.kind, d.box_id, d.found < 0.01) == ("labelled-background", 1, True)


def test_two_targets_side_by_side_do_not_claim_each_others_label():
    assert (
        doubts(output((20, 20, 5, "target"), (28.5, 20, 5, "target")), label(20, 20), label(28.5, 20, number=2)) == []
    )


@pytest.mark.parametrize(("beside", "kinds"), [(5, []), (12, ["unlabelled"])])
def test_a_second_answer_inside_a_label_is_about_that_label(beside, kinds):
    found = doubts(output((20, 20, 5, "target"), (20 + beside, 20, 5, "target")), label(20, 20, side=14))
    assert [d.kind for d in found] == kinds


def test_what_is_to_be_ignored_is_not_judged():
    assert doubts(output((20, 20, 5, "target")), label(20, 20, "ignore", side=12)) == []


def test_labels_before_and_after_have_a_say():
    lonely = Doubt("labelled-background", 5, Box(20, 20, 5, 5), 1, 4.0, 4.0, 0.01)
    track = {f: [Box(20, 20, 5, 5)] for f in range(10)}
    assert with_context(lonely, {5: track[5], 7: [Box(60, 60, 5, 5)]}, 10).excess > lonely.excess
    assert with_context(lonely, track, 10).excess < lonely.excess
    assert with_context(lonely, {5: track[5]}, 10) == lonely  # nobody has labelled around


def test_what_befalls_many_labels_of_a_class_weighs_less():
    many = [Doubt("labelled-background", f, Box(20, 20, 5, 5), f, 4.0, 4.0, 0.01) for f in range(20)]
    one = Doubt("labelled-background", 0, Box(20, 20, 5, 5), 99, 4.0, 4.0, 0.01)
    classes = dict.fromkeys(range(20), "interference") | {99: "target"}
    weighed = without_common([*many, one], classes, {"interference": 100, "target": 100})
    assert weighed[0].excess < weighed[-1].excess == one.excess


def test_thresholds_are_numbers_quantiles_or_the_valley():
    two_heaps = np.concatenate([np.linspace(0.1, 1, 90), np.linspace(6, 7, 10)])
    assert choose_threshold("2.5", two_heaps) == 2.5
    assert choose_threshold("q0.5", np.arange(101.0)) == 50
    assert 1 <= valley(two_heaps) <= 6
    for wrong in ("q2", "-1", "much", "nan"):
        with pytest.raises(InputError, match="--threshold"):
            choose_threshold(wrong, two_heaps)


@pytest.fixture
def spoilt(small_data: Path, tmp_path: Path) -> tuple[Path, dict[str, tuple[int, Box]]]:
    """A copy of small_data with one error of each kind in a training sequence, and the truth of each by kind."""
    folder = tmp_path / "data"
    shutil.copytree(small_data, folder)
    with Dataset.open(folder) as data:
        s = data.sequences("train")[0]
        labels = data.boxes(s)
        truth = {kind: (f, labels[f][0]) for kind, f in zip(WRONG_LABELS, (10, 16, 22), strict=False)}
        _, box = truth["misplaced"]
        data.supersede(truth["unlabelled"][1].id, None, who="t", why="spoil")
        data.supersede(box.id, Box(box.x + 7, box.y, box.w, box.h), who="t", why="spoil")
        _, box = truth["wrong-category"]
        data.supersede(box.id, Box(box.x, box.y, box.w, box.h, "interference"), who="t", why="spoil")
        far = Box((labels[30][0].x + 50) % s.width, (labels[30][0].y + 40) % s.height, 5, 5)
        data.add_box(s, 30, far, who="t", why="spoil")
        return folder, {**truth, "labelled-background": (30, far)}


def ranks_of_kind(ranked: list) -> dict:
    """(sequence id, kind, frame) to the doubt's rank among those of its kind, and the doubt."""
    places: dict = {}
    of_kind: Counter[str] = Counter()
    for at, d in ranked:
        places.setdefault((at.id, d.kind, d.frame), (of_kind[d.kind], d))
        of_kind[d.kind] += 1
    return places


def test_planted_errors_come_first_of_their_kind_and_accepting_the_proposals_mends_them(spoilt, small_run):
    folder, truth = spoilt
    with Dataset.open(folder) as data:
        s = data.sequences("train")[0]
        refined = refine(data, small_run)
        places = ranks_of_kind(refined.ranked)
        for kind, (frame, box) in truth.items():
            rank, d = places.get((s.id, kind, frame), (None, None))
            assert rank is not None, [d for _, d in refined.ranked if d.frame == frame]
            assert rank < FIRST, (kind, rank, d)
            assert np.hypot(d.box.x - box.x, d.box.y - box.y) < CRUDE
        mine = [(s, places[s.id, kind, frame][1]) for kind, (frame, _) in truth.items()]
        assert enqueue_doubts(data, mine, small_run, {}).total() == 4
        assert enqueue_doubts(data, mine, small_run, {}).total() == 0
        for item in data.queue_items("open"):
            assert item.reason
            data.decide(item.id, "accept", who="anna", why="test")
        labels = data.boxes(s)
        for kind, (frame, box) in truth.items():
            near = [
                b for b in labels.get(frame, []) if np.hypot(b.x - box.x, b.y - box.y) < CRUDE and b.label == box.label
            ]
            assert len(near) == (0 if kind == "labelled-background" else 1), kind


def test_the_command_queues_and_draws(spoilt, small_run, tmp_path):
    folder, _ = spoilt
    words = [
        "refine",
        str(small_run),
        "--data",
        str(folder),
        "--most",
        "6",
        "--histogram",
        str(tmp_path / "h.png"),
        "--json",
    ]
    answer = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert answer["queued"] == len(answer["doubts"]) <= 6
    assert answer["mean_loss_accepted"] < answer["mean_loss"]
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    again = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert again["queued"] == 0


def test_a_histogram_of_no_labels_is_drawn(tmp_path):
    write_histogram(tmp_path / "h.png", {"none": np.zeros(0)})
    assert (tmp_path / "h.png").is_file()


def test_wrong_options_end_in_one_line(small_data, small_run):
    with pytest.raises(InputError, match="--folds 1"):
        RefineOptions(folds=1)
    with Dataset.open(small_data) as data, pytest.raises(InputError, match="only 4 scenes"):
        refine(data, small_run, RefineOptions(folds=9))


def test_folds_begin_with_what_has_not_seen_their_labels():
    for start, of_folds in ((None, None), ("starter", "starter"), ("/runs/first", "starter")):
        assert start_of_folds(FitConfig(start=start)) == of_folds
    assert start_of_folds(FitConfig(width=0.25, start="/runs/first")) is None


def test_a_fold_of_other_scenes_is_trained_anew(small_run, tmp_path, monkeypatch):
    trained = []

    def train(patches, out, config, **others):
        trained.append(out.name)
        shutil.copytree(small_run, out)

    monkeypatch.setattr(folds, "fit", train)
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    make_data(tmp_path / "data", 6)
    with Dataset.open(tmp_path / "data") as data:
        for _ in range(2):
            folds.fold_engines(data, run, 2, False, torch.device("cpu"))
        assert len(trained) == 2
        frames = [Frame(t, t / 25, f) for t, f in enumerate(render_sequence(9)[0])]
        data.add_sequence("more", frames, {}, split="train", group="more", source="rendered", who="tests")
        folds.fold_engines(data, run, 2, False, torch.device("cpu"))
    assert len(trained) == len(set(trained)) == 4


@pytest.mark.slow
def test_folds_judge_what_they_never_saw_and_are_trained_once(spoilt, small_run, tmp_path):
    folder, truth = spoilt
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    with Dataset.open(folder) as data:
        found = refine(data, run, RefineOptions(folds=2)).ranked
        (fold,) = (run / "folds").glob("2-0-*/run.json")
        written = fold.stat().st_mtime_ns
        places, s = ranks_of_kind(found), data.sequences("train")[0]
        for kind in set(truth) - {"misplaced"}:  # folds of so short a training find no place to a pixel
            assert places[s.id, kind, truth[kind][0]][0] < FIRST, kind
        refine(data, run, RefineOptions(folds=2))
        assert fold.stat().st_mtime_ns == written
