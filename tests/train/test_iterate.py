"""The loop: goes on from any step, waits for a person, and with an oracle labels what nobody had looked at."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rendered import make_data
from typer.testing import CliRunner

from irdim.boxes import IGNORE, TARGET, Box
from irdim.dataset import Dataset, QueueItem
from irdim.errors import InputError
from irdim.files import write_json
from irdim.sources import Frame
from irdim_train.cli import app
from irdim_train.iterating import LoopConfig, Waiting, iterate, open_loop
from irdim_train.iterating.choose import choose_items
from irdim_train.iterating.pool import cover_pool, open_questions, queue_random_frames, unseen_frames
from irdim_train.iterating.rules import decide_by
from irdim_train.runs import DESCRIPTION, load_model, read_run

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("truth") / "truth")


@pytest.fixture
def data(truth: Path, tmp_path: Path) -> Path:
    """The same sequences; of the four to train on, two without labels."""
    with Dataset.open(truth) as right, Dataset.create(tmp_path / "data") as data:
        for s in right.sequences():
            boxes = {} if s.name in ("seq2", "seq3") else right.boxes(s)
            plain = {f: [Box(b.x, b.y, b.w, b.h, b.label) for b in of] for f, of in boxes.items()}
            given = [Frame(t, t / 25, f) for t, f in enumerate(right.frames(s))]
            facts = {"split": s.split, "group": s.group, "source": "rendered", "who": "tests", "interval": 1 / 25}
            data.add_sequence(s.name, given, plain, **facts)
    return tmp_path / "data"


def config(data: Path, **changes: object) -> LoopConfig:
    fit = {"width": 0.25, "batch": 16}
    given = {
        "iterations": 1,
        "epochs": 8.0,
        "more_epochs": 2.0,
        "budget": 6,
        "size": 32,
        "frame_step": 2,
        "register": False,
    }
    return LoopConfig(**{"data": str(data), "fit": fit, **given, **changes})


def labelled(data: Path, name: str) -> int:
    with Dataset.open(data) as d:
        return sum(b.label == TARGET for boxes in d.boxes(d.sequence(name)).values() for b in boxes)


@pytest.fixture
def begun(data: Path, truth: Path, tmp_path: Path, small_run: Path):
    """A loop with an oracle whose first network is there already (small_run), so that no test trains it again."""
    state = open_loop(tmp_path / "loop", config(data, decide="oracle", truth=str(truth)))

    def stop(text: str) -> None:
        if text == "iteration 0: fit":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iterate(state, CPU, tell=stop)
    shutil.copytree(small_run, state.run(0))
    return state


def test_a_loop_goes_on_where_it_was_and_labels_what_nobody_had_looked_at(begun, data, tmp_path):
    state = open_loop(begun.folder, None)
    assert (state.step, state.pool) == ("fit", ["seq2", "seq3"])
    state.step, state.turns[0].images = "evaluate", 1
    state.save()
    steps: list[str] = []

    def kill(text: str) -> None:
        steps.append(text)
        if steps[-1] == "iteration 0: decide" and steps.count(steps[-1]) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iterate(open_loop(begun.folder, None), CPU, tell=kill)
    assert not labelled(data, "seq2")
    done = iterate(open_loop(begun.folder, None), CPU, tell=kill)
    assert steps.count("iteration 0: mine") == 1
    assert steps.count("iteration 0: decide") == 2
    assert done.done
    assert labelled(data, "seq2") + labelled(data, "seq3") > 20
    assert 0 < done.turns[0].reviewed <= 6
    assert done.turns[1].images > done.turns[0].images
    with Dataset.open(data) as d:
        assert d.current_iteration() == 1
    answer = CliRunner().invoke(app, ["iterate", "--out", str(begun.folder), "--json"], catch_exceptions=False)
    assert [t["number"] for t in json.loads(answer.stdout)["turns"]] == [0, 1]
    for name in ("report.html", "f1.png", "counts.png", "cost.png", "losses.png"):
        assert (begun.folder / name).stat().st_size > 1000
    for better in (0, 1):  # what is exported is what the validation sequences found best, not what came last
        for turn in (0, 1):
            description = read_run(begun.run(turn))
            description["scores"]["val"]["f1"] = 0.9 if turn == better else 0.4
            write_json(begun.run(turn) / DESCRIPTION, description)
        said = CliRunner().invoke(app, ["iterate", "--out", str(begun.folder)], catch_exceptions=False).stdout
        assert f"next: irdim-export {begun.run(better)} --int8" in said
        assert ("iteration 0 has a better F1" in said) == (better == 0)
    for turn, f1 in ((0, 0.9), (1, 0.4)):  # where no validation sequence says which is better, the last
        description = read_run(begun.run(turn))
        description["scores"] = {"train": {**description["scores"]["val"], "f1": f1}}
        write_json(begun.run(turn) / DESCRIPTION, description)
    said = CliRunner().invoke(app, ["iterate", "--out", str(begun.folder)], catch_exceptions=False).stdout
    assert f"done; next: irdim-export {begun.run(1)} --int8" in said


def test_it_waits_for_a_person_and_goes_on_when_all_is_decided(begun, data, tmp_path):
    from dataclasses import replace

    state = open_loop(begun.folder, None)
    state.config = replace(state.config, decide="ask", truth=None)
    state.step = "evaluate"
    with pytest.raises(Waiting) as waiting:
        iterate(state, CPU)
    items = state.turn.items
    assert waiting.value.items == len(items) > 0
    with Dataset.open(data) as d:
        for number in items:
            d.decide(number, "reject", who="anna", why="test")
    steps: list[str] = []

    def stop(text: str) -> None:
        steps.append(text)
        if text.endswith("crop"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iterate(state, CPU, tell=stop)
    assert state.turns[0].reviewed == len(items)


def test_a_loop_from_a_run_takes_its_network_and_shorter_turns_of_a_short_training(data, small_run, tmp_path):
    words = ["iterate", "--data", str(data), "--out", str(tmp_path / "loop"), "--iterations", "1", "--decide", "loss"]
    words += ["--size", "32", "--frame-step", "2", "--no-register", "--epochs", "0.02", "--json"]
    for start, message in (("nothere", "nothere"), ("starter", "none ships for darknet19 of width 0.25")):
        with pytest.raises(InputError, match=message):
            CliRunner().invoke(app, [*words, "--from", start, "--width", "0.25"], catch_exceptions=False)
    assert not (tmp_path / "loop").exists()
    begin = [*words, "--from", str(small_run), "--input", load_model(small_run)[1].input.kind]
    CliRunner().invoke(app, begin, catch_exceptions=False)
    made = open_loop(tmp_path / "loop", None).config
    assert (made.epochs, made.more_epochs, made.least_steps, made.more_least_steps) == (0.02, 0.01, 0, 0)
    assert (made.fit["width"], made.fit["start"]) == (0.25, str(small_run.resolve()))
    again = CliRunner().invoke(app, begin, catch_exceptions=False)
    assert len(json.loads(again.stdout)["turns"]) == 2


def test_a_loop_of_before_there_were_starters_goes_on(data, tmp_path):
    old = config(data)
    open_loop(tmp_path / "loop", old).save()
    assert open_loop(tmp_path / "loop", config(data, fit={**old.fit, "start": None})).config == old
    with pytest.raises(InputError, match="other options"):
        open_loop(tmp_path / "loop", config(data, fit={**old.fit, "start": "starter"}))


def test_what_nobody_looked_at_is_covered_once_and_counts_again_when_decided(data, truth):
    with Dataset.open(data) as d, Dataset.open(truth) as right:
        assert cover_pool(d, ()) == ["seq2", "seq3"] == cover_pool(d, ())
        s = d.sequence("seq2")
        assert len(unseen_frames(d, s)) == s.length == sum(map(len, d.boxes(s).values()))
        items = queue_random_frames(d, ["seq2"], 5, 0)
        assert len(items) == 5
        decide_by("oracle", d, [i for i in d.queue_items("open") if i.id in items], right)
        assert len(unseen_frames(d, s)) == s.length - 5
        assert labelled(data, "seq2") == 5


def test_an_oracle_corrects_the_place_and_denies_what_is_not_there(data, truth):
    with Dataset.open(data) as d, Dataset.open(truth) as right:
        cover_pool(d, ())
        s = d.sequence("seq2")
        there = right.boxes(right.sequence("seq2"))[9][0]
        far = Box((there.x + 50) % 100, there.y, 5, 5)
        for key, kind, box in (("a", "missed", Box(there.x + 2, there.y, 9, 9)), ("b", "false_alarm", far)):
            d.enqueue(key=key, kind=kind, sequence_id=s.id, frame=9, box=box, score=1, reason="")
        decide_by("oracle", d, d.queue_items("open"), right)
        (box,) = [b for b in d.boxes(s)[9] if b.label != IGNORE]
        assert (box.x, box.y, box.w, box.label) == (there.x, there.y, there.w, TARGET)
        who = d._store.rows("SELECT DISTINCT who FROM reviews")
        assert who == [("rule: oracle",)]


def test_rules_leave_open_what_they_have_no_answer_to(data):
    with Dataset.open(data) as d:
        s = d.sequence("seq0")
        for n, around in enumerate((0.9, 0.0)):
            d.enqueue(
                key=str(n), kind="unlabelled", sequence_id=s.id, frame=n, box=Box(5, 5, 3, 3), score=1, reason="",
                provenance={"around": around},
            )  # fmt: skip
        d.enqueue(key="m", kind="missed", sequence_id=s.id, frame=5, box=Box(5, 5, 3, 3), score=1, reason="")
        assert sum(decide_by("agree", d, d.queue_items("open")).values()) == 1
        assert sum(decide_by("loss", d, d.queue_items("open")).values()) == 1
        assert [i.kind for i in d.queue_items("open")] == ["missed"]


def test_where_there_are_folds_agree_accepts_only_tracks_that_they_see_too(data):
    with Dataset.open(data) as d:
        s = d.sequence("seq2")
        for n, facts in enumerate(({"out_of_fold": True}, {"out_of_fold": False}, {})):
            points = [[f, 20.0 + 20 * n, 30.0, 5.0, 5.0] for f in range(8)]
            d.enqueue(
                key=str(n), kind="track", sequence_id=s.id, frame=0, box=Box(20 + 20 * n, 30, 5, 5), score=0.95, reason="",
                provenance={"points": points, **facts},
            )  # fmt: skip
        decide_by("agree", d, d.queue_items("open"))
        assert [i.key for i in d.queue_items("open")] == ["1"]


def test_a_target_that_a_track_and_an_unlabelled_item_propose_gets_one_box_a_frame(data):
    with Dataset.open(data) as d:
        s = d.sequence("seq2")
        points = [[f, 20.0, 30.0, 5.0, 5.0] for f in range(8)]
        given = {"sequence_id": s.id, "frame": 4, "box": Box(20.3, 30, 5, 5), "reason": ""}
        d.enqueue(key="u", kind="unlabelled", score=0.99, provenance={"around": 0.9}, **given)
        d.enqueue(key="t", kind="track", score=0.9, provenance={"points": points}, **given)
        assert sum(decide_by("agree", d, d.queue_items("open")).values()) == 2
        assert {f: [b.x for b in boxes] for f, boxes in d.boxes(s).items()} == {
            f: [20.3 if f == 4 else 20] for f in range(8)
        }


def test_a_second_target_that_waits_for_its_decision_is_not_learnt_as_background(data, tmp_path):
    from irdim.patches import Patches
    from irdim_train.crop import crop

    with Dataset.open(data) as d:
        cover_pool(d, ())
        s = d.sequence("seq2")
        for n, x in enumerate((20.0, 80.0)):
            points = [[f, x, 30.0, 5.0, 5.0] for f in range(10, 20)]
            facts = {"sequence_id": s.id, "frame": 10, "box": Box(x, 30, 5, 5), "score": 0.9, "reason": ""}
            d.enqueue(key=str(n), kind="track", provenance={"points": points}, **facts)
        one, other = sorted(d.queue_items("open"), key=lambda i: i.box.x)
        d.decide(one.id, "accept", who="anna", why="test")
        covers = open_questions(d, ["seq2"])
        assert sorted(covers[s.id]) == list(range(10, 20))
        assert all((b.x, b.label) == (80.0, IGNORE) for of in covers[s.id].values() for b in of)
        crop(d, tmp_path / "patches", size=64, frame_step=2, register=False, covers=covers)
        ignored = Patches.open(tmp_path / "patches").boxes["label"] == 2
        d.decide(other.id, "accept", who="anna", why="test")
        assert not open_questions(d, ["seq2"])
        crop(d, tmp_path / "patches", size=64, frame_step=2, register=False)
        after = Patches.open(tmp_path / "patches").boxes["label"] == 2
        assert ignored.sum() > after.sum()


def test_items_are_chosen_for_value_and_variety():
    def item(number: int, kind: str, sequence: int, score: float) -> QueueItem:
        points = {"points": [[f, 1, 1, 1, 1] for f in range(16)]} if kind == "track" else {}
        return QueueItem(number, str(number), kind, sequence, 0, Box(1, 1, 1, 1), score, "", None, points)

    same = [item(n, "missed", 1, 0.9) for n in range(5)]
    other, track, strange = item(10, "missed", 2, 0.6), item(11, "track", 1, 0.5), item(12, "low_confidence", 3, 1.0)
    assert [i.id for i in choose_items([*same, other, track, strange], 3)] == [11, 0, 10]
    assert len(choose_items(same, 100)) == 5


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"decide": "guess"}, "--decide guess"),
        ({"decide": "oracle"}, "--truth"),
        ({"iterations": 0}, "--iterations 0"),
        ({"choose": "random"}, "--choose random"),
    ],
)
def test_wrong_options_are_refused(tmp_path, changes, part):
    with pytest.raises(InputError, match=part):
        config(tmp_path, **changes)


def test_another_folder_and_other_options_are_refused(begun, data, tmp_path):
    with pytest.raises(InputError, match="other options"):
        open_loop(begun.folder, config(data, budget=7))
    with pytest.raises(InputError, match="no loop"):
        open_loop(data, config(data))
    with pytest.raises(InputError, match="no loop here"):
        open_loop(tmp_path / "nothing", None)


def test_a_data_set_without_labels_is_refused_and_left_as_it_is(tmp_path, data):
    with Dataset.create(tmp_path / "bare") as bare, Dataset.open(data) as d:
        s = d.sequence("seq2")
        given = [Frame(t, t / 25, f) for t, f in enumerate(d.frames(s))]
        bare.add_sequence("a", given, {}, split="train", group="a", source="", who="tests", interval=1 / 25)
        with pytest.raises(InputError, match="no training sequence has a labelled target"):
            iterate(open_loop(tmp_path / "loop", config(bare.path)), CPU)
        assert not bare.boxes(bare.sequence("a"))
        assert not (tmp_path / "loop").exists()


def test_an_oracle_that_does_not_know_a_sequence_says_so(data, tmp_path):
    with Dataset.create(tmp_path / "other") as other, Dataset.open(data) as d:
        s = d.sequence("seq0")
        d.enqueue(key="x", kind="missed", sequence_id=s.id, frame=1, box=Box(5, 5, 3, 3), score=1, reason="")
        with pytest.raises(InputError, match="seq0"):
            decide_by("oracle", d, d.queue_items("open"), other)
        assert np.size(d.queue_items("open")) == 1
