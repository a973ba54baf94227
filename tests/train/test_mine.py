"""Mining: what tracks say of recordings, with and without labels."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rendered import LENGTH, NOISE, render_sequence
from typer.testing import CliRunner

from irdim.dataset import Dataset, Sequence
from irdim.errors import InputError
from irdim.grid import CONFIDENCE
from irdim.sources import Frame
from irdim.tracks import TrackerOptions
from irdim_train import mining
from irdim_train.cli import app
from irdim_train.evaluate import Found
from irdim_train.mining import mine
from irdim_train.mining.following import follow_detections
from irdim_train.mining.run import CRAWLS, CRAWLS_FOR, LEAST, Mined, MineOptions, choose_sequences, open_tracker
from irdim_train.models import open_model

OPTIONS = TrackerOptions(report=0.5)


def found(frames: list[int], rows: dict[int, list[tuple[float, float, float]]]) -> Found:
    """Detections (x, y, score) of targets by frame."""
    sequence = Sequence(1, "s", "train", "g", 100, 96, 120, "uint16", 0.04, "", "")
    given = [[x, y, 5, 5, score, 0] for f in frames for x, y, score in rows.get(f, [])]
    ends = np.cumsum([len(rows.get(f, [])) for f in frames])
    return Found(sequence, np.array(frames), ends, np.array(given, float).reshape(-1, 6), None, 0)


def line(frames: list[int]) -> dict[int, list[tuple[float, float, float]]]:
    return {f: [(20.0 + f, 40.0, 0.9)] for f in frames}


def test_a_gap_in_a_track_is_missed_at_its_place():
    rows = line([f for f in range(30) if f != 14])
    (v,) = follow_detections(found(list(range(30)), rows), np.arange(30) / 25, OPTIONS).verdicts
    assert (v.kind, v.frame) == ("missed", 14)
    assert (v.x, v.y) == pytest.approx((34, 40), abs=0.1)


def test_a_stream_that_breaks_ends_its_tracks():
    frames = [*range(20), *range(23, 43)]
    followed = follow_detections(found(frames, line(frames)), np.arange(43) / 25, OPTIONS)
    assert followed.verdicts == []
    assert len(followed.tracks) == 2


def test_nothing_and_one_frame_and_a_clock_that_runs_backwards_give_no_verdict():
    for frames in ([], [0], list(range(20))):
        assert follow_detections(found(frames, {}), np.arange(20)[::-1] / 25, OPTIONS).verdicts == []


def test_two_hundred_detections_a_frame_stay_fast():
    rng = np.random.default_rng(0)
    rows = {f: [(*rng.uniform(0, 96, 2), rng.uniform(0.02, 1)) for _ in range(200)] for f in range(40)}
    assert follow_detections(found(list(range(40)), rows), np.arange(40) / 25, OPTIONS).frames == 40


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A data set with two rendered sequences that nobody labelled, one of noise alone, one of a frame."""
    with Dataset.create(tmp_path / "new") as data:
        noise = np.random.default_rng(5).normal(1000, NOISE, (LENGTH, 96, 120)).astype(np.uint16)
        stacks = {"a": render_sequence(50)[0], "b": render_sequence(51)[0], "noise": noise, "one": noise[:1] + 1}
        for name, frames in stacks.items():
            given = [Frame(t, t / 25, f) for t, f in enumerate(frames)]
            facts = {"split": "train", "group": name, "source": "rendered", "who": "tests", "interval": 1 / 25}
            data.add_sequence(name, given, {}, **facts)
    return tmp_path / "new"


class Blind:
    """The same network, sure that nothing is there: on every frame, or on the n-th that it sees."""

    def __init__(self, engine, only: int | None = None) -> None:
        self._engine, self._only, self._seen = engine, only, 0

    def __getattr__(self, name: str):
        return getattr(self._engine, name)

    def run(self, planes):
        output = self._engine.run(planes).copy()
        if self._only in (None, self._seen):
            output[CONFIDENCE] = -20.0
        self._seen += 1
        return output


def test_unlabelled_recordings_get_their_tracks_proposed_once(recordings, small_run):
    card, engine, _ = open_model(small_run)
    with Dataset.open(recordings) as data:
        chosen = choose_sequences(data, [])
        mined = mine(data, chosen, card, engine, MineOptions(TrackerOptions(report=card.thresholds.report)))
        tracks = [i for i in data.queue_items("open") if i.kind == "track"]
        names = {s.id: s.name for s in chosen}
        assert {names[i.sequence_id] for i in tracks} >= {"a", "b"}
        best = max((i for i in tracks if names[i.sequence_id] == "a"), key=lambda i: len(i.provenance["points"]))
        truth = render_sequence(50)[1]
        away = [np.hypot(x - truth[f][0].x, y - truth[f][0].y) for f, x, y, *_ in best.provenance["points"]]
        assert np.median(away) < 4  # small_run was trained for seconds
        assert "reported on" in best.reason
        assert sum(mined.queued.values()) == len(data.queue_items("open"))
        again = mine(data, chosen, card, engine, MineOptions(TrackerOptions(report=card.thresholds.report)))
        assert not again.queued


def test_what_an_out_of_fold_network_does_not_see_is_said_of_a_track(recordings, small_run):
    card, engine, _ = open_model(small_run)

    with Dataset.open(recordings) as data:
        options = MineOptions(TrackerOptions(report=card.thresholds.report))
        a, b = data.sequence("a"), data.sequence("b")
        mine(data, [a, b], card, engine, options, out_of_fold={a.id: engine, b.id: Blind(engine)})
        agree = {(i.sequence_id, i.provenance["out_of_fold"]) for i in data.queue_items() if i.kind == "track"}
        assert agree == {(a.id, True), (b.id, False)}


def test_what_the_labels_answer_is_not_asked(small_data, small_run, tmp_path):
    """The same network over its own labelled data: every miss is labelled, every report on a label is right."""
    shutil.copytree(small_data, tmp_path / "data")
    card, engine, _ = open_model(small_run)
    with Dataset.open(tmp_path / "data") as data:
        mine(data, data.sequences(), card, engine, MineOptions(TrackerOptions(report=card.thresholds.report)))
        for item in data.queue_items():
            s = next(s for s in data.sequences() if s.id == item.sequence_id)
            near = [b for b in data.boxes(s).get(item.frame, []) if np.hypot(b.x - item.box.x, b.y - item.box.y) < 3]
            assert not near, item


def test_the_command_answers_and_refuses(recordings, small_run):
    runner = CliRunner()
    done = runner.invoke(app, ["mine", str(small_run), "a", "one", "--data", str(recordings), "--json"])
    answer = json.loads(done.stdout)
    assert answer["sequences"]["one"] == {}
    assert answer["queued"]["track"] >= 1
    for words, part in (
        (["x*"], "no sequence 'x*'"),
        (["--confirm", "3"], "--confirm 3"),
        (["--max-speed", "-1"], "max_speed"),
    ):
        result = runner.invoke(app, ["mine", str(small_run), "--data", str(recordings), *words])
        assert isinstance(result.exception, InputError)
        assert part in str(result.exception)


def test_the_command_asks_from_the_score_that_iterate_asks_from_and_its_help_says_so(
    recordings, small_run, monkeypatch
):
    given = []
    monkeypatch.setattr(
        mining, "mine", lambda data, chosen, card, engine, options, **_: given.append(options) or Mined()
    )
    for words in ([], ["--least", "0.1", "--still-speed", "0.02"]):
        assert CliRunner().invoke(app, ["mine", str(small_run), "--data", str(recordings), *words]).exit_code == 0
    as_iterate = MineOptions(open_tracker(open_model(small_run)[0].thresholds.report))
    assert given[0] == as_iterate
    assert given[1] == replace(as_iterate, least=0.1, tracker=replace(as_iterate.tracker, still_speed=0.02))
    said = " ".join(CliRunner().invoke(app, ["mine", "--help"], env={"COLUMNS": "400"}).stdout.split())
    assert f"a lower score; {LEAST} if not set" in said
    assert f"less than this for {CRAWLS_FOR} frames" in said
    assert f"has no misses; {CRAWLS} if not set" in said


def test_the_command_takes_no_number_of_questions_below_0(recordings, small_run):
    done = CliRunner().invoke(app, ["mine", str(small_run), "a", "--data", str(recordings), "--most", "-3"])
    assert done.exit_code == 2
    with Dataset.open(recordings) as data:
        assert not data.queue_items()


def test_a_rejected_miss_is_not_asked_again_by_another_network(recordings, small_run):
    card, engine, _ = open_model(small_run)
    with Dataset.open(recordings) as data:
        s = data.sequence("a")
        options = MineOptions(TrackerOptions(report=card.thresholds.report), least=0.1)
        mine(data, [s], card, Blind(engine, only=20), options)
        before = {(i.kind, i.frame) for i in data.queue_items()}
        assert "missed" in dict(before)
        for item in data.queue_items("open"):
            data.decide(item.id, "reject", who="anna", why="birds")
        mine(data, [s], card, Blind(engine, only=20), options, by={"run": "another"})
        assert {(i.kind, i.frame) for i in data.queue_items()} == before


def test_what_a_device_has_asked_is_not_asked_for_another_reason(recordings, small_run, tmp_path):
    card, engine, _ = open_model(small_run)
    options = MineOptions(TrackerOptions(report=card.thresholds.report), least=0.1)
    shutil.copytree(recordings, tmp_path / "asked")
    with Dataset.open(recordings) as data:
        mine(data, [data.sequence("a")], card, Blind(engine, only=20), options)
        mined = next(i for i in data.queue_items() if i.kind == "missed")
    with Dataset.open(tmp_path / "asked") as data:
        data.enqueue(
            key="from-a-device",
            kind="low_confidence",
            sequence_id=data.sequence("a").id,
            frame=mined.frame,
            box=mined.box,
            score=0.5,
            reason="weak",
            provenance={},
        )
        mine(data, [data.sequence("a")], card, Blind(engine, only=20), options)
        there = [
            i.kind
            for i in data.queue_items()
            if i.frame == mined.frame and np.hypot(i.box.x - mined.box.x, i.box.y - mined.box.y) < 1
        ]
        assert [kind for kind in there if kind != "track"] == ["low_confidence"]
