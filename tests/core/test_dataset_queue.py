"""The queue: what each decision does to the boxes, and that an item is decided once."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from irdim.boxes import Box
from irdim.dataset import Dataset, Sequence
from irdim.errors import InputError
from irdim.sources import Frame

BOX = Box(5.0, 6.0, 3.0, 2.0)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Dataset]:
    with Dataset.create(tmp_path / "data") as made:
        pixels = np.random.default_rng(0).integers(0, 250, (5, 12, 16)).astype(np.uint16)
        frames = [Frame(i, float(i), p) for i, p in enumerate(pixels)]
        made.add_sequence("a", frames, {4: [BOX]}, split="train", group="a", source="test", who="me")
        yield made


@pytest.fixture
def sequence(data: Dataset) -> Sequence:
    return data.sequence("a")


def propose(data: Dataset, key: str = "k", kind: str = "missed", score: float = 0.5, **more: object) -> int:
    given = {"sequence_id": 1, "frame": 0, "box": Box(5, 5, 3, 3), "reason": "seen before and after", **more}
    assert data.enqueue(key=key, kind=kind, score=score, **given)  # type: ignore[arg-type]
    return next(item.id for item in data.queue_items("open") if item.key == key)


def test_a_key_is_queued_once_even_after_its_decision(data: Dataset) -> None:
    item = propose(data, provenance={"bundle": "abc", "nested": [1, 2]})
    assert data.queue_items()[0].provenance == {"bundle": "abc", "nested": [1, 2]}
    data.decide(item, "accept", who="me", why="clear")
    again = {"key": "k", "kind": "missed", "sequence_id": 1, "frame": 0, "box": BOX, "score": 0.5, "reason": ""}
    assert data.enqueue(**again) is False  # type: ignore[arg-type]
    assert len(data.queue_items()) == 1


def test_items_come_best_score_first_and_by_state(data: Dataset) -> None:
    for key, score in (("low", 0.1), ("high", 0.9), ("mid", 0.5)):
        propose(data, key, score=score)
    assert [item.key for item in data.queue_items("open")] == ["high", "mid", "low"]
    data.decide(data.queue_items()[1].id, "reject", who="me", why="cloud")
    assert [(i.key, i.state, i.decision) for i in data.queue_items("decided")] == [("mid", "decided", "reject")]
    assert [item.key for item in data.queue_items("open")] == ["high", "low"]
    with pytest.raises(InputError, match="state"):
        data.queue_items("closed")


@pytest.mark.parametrize(
    ("kind", "decision", "label"),
    [
        ("missed", "accept", "target"),
        ("missed", "reject", None),
        ("missed", "interference", "interference"),
        ("missed", "ignore", "ignore"),
        ("false_alarm", "accept", "interference"),
        ("false_alarm", "reject", "target"),
        ("false_alarm", "target", "target"),
        ("false_alarm", "ignore", "ignore"),
        ("shifted", "accept", "ignore"),
        ("shifted", "reject", None),
        ("missed", "skip", None),
    ],
)
def test_what_a_decision_adds(data: Dataset, sequence: Sequence, kind: str, decision: str, label: str | None) -> None:
    item = propose(data, kind=kind, box=Box(5, 5, 3, 3, "ignore" if kind == "shifted" else "target"))
    data.decide(item, decision, who="ann", why="looked")
    assert [(b.x, b.y, b.label) for b in data.boxes(sequence).get(0, [])] == ([(5, 5, label)] if label else [])
    assert data.queue_items()[0].state == ("open" if decision == "skip" else "decided")


def test_a_correction_takes_the_place_of_the_proposal(data: Dataset, sequence: Sequence) -> None:
    data.decide(propose(data), "accept", who="me", why="moved", box=Box(8, 9, 2, 1))
    assert [(b.x, b.y, b.w, b.h, b.label) for b in data.boxes(sequence)[0]] == [(8, 9, 2, 1, "target")]


def test_a_box_in_question_is_superseded_in_the_current_iteration(data: Dataset, sequence: Sequence) -> None:
    old = data.boxes(sequence)[4][0]
    data.begin_iteration("refine")
    data.decide(propose(data, kind="shifted", frame=4, box=Box(7, 7, 3, 3), box_id=old.id), "accept", who="me", why="w")
    assert [(b.x, b.y) for b in data.boxes(sequence)[4]] == [(7, 7)]
    assert data.boxes(sequence, 0)[4] == [old]
    late = propose(data, "late", kind="shifted", frame=4, box_id=old.id)
    with pytest.raises(InputError, match="superseded already"):
        data.decide(late, "accept", who="me", why="w")
    assert [item.key for item in data.queue_items("open")] == ["late"]  # nothing of it was kept


def test_a_skipped_item_can_be_decided_and_a_decided_one_not_again(data: Dataset, sequence: Sequence) -> None:
    item = propose(data)
    for _ in range(2):
        data.decide(item, "skip", who="me", why="unsure")
    data.decide(item, "accept", who="ann", why="clear")
    with pytest.raises(InputError, match="decided already: 'accept' by ann"):
        data.decide(item, "reject", who="bob", why="late")
    assert len(data.boxes(sequence)[0]) == 1


def test_what_does_not_fit_is_refused_and_changes_nothing(data: Dataset, sequence: Sequence) -> None:
    before = data.boxes(sequence)
    for wrong in (
        {"frame": 9},
        {"box": Box(99, 1, 1, 1)},
        {"sequence_id": 7},
        {"box_id": 77},
        {"provenance": {"x": {1}}},
    ):
        with pytest.raises(InputError):
            propose(data, **wrong)  # type: ignore[arg-type]
    item = propose(data)
    for call in (
        lambda: data.decide(item, "maybe", who="me", why="w"),
        lambda: data.decide(99, "accept", who="me", why="w"),
        lambda: data.decide(item, "accept", who="me", why="w", box=Box(-1, 0, 1, 1)),
    ):
        with pytest.raises(InputError):
            call()
    assert data.boxes(sequence) == before
    assert [i.key for i in data.queue_items("open")] == ["k"]


_DECIDER = """
import sys
from irdim.dataset import Dataset
from irdim.errors import InputError
with Dataset.open(sys.argv[1]) as data:
    print("ready", flush=True)
    sys.stdin.readline()
    for item in range(1, 21):
        try:
            data.decide(item, "accept", who=sys.argv[2], why="w")
            print(item)
        except InputError as error:
            assert "decided already" in str(error), error
"""


def test_two_processes_that_decide_the_same_items_share_them_without_doubles(data: Dataset, sequence: Sequence) -> None:
    for key in range(20):
        propose(data, str(key))
    deciders = [
        subprocess.Popen(
            [sys.executable, "-c", _DECIDER, str(data.path), who],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in ("ann", "bob")
    ]
    for process in deciders:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in deciders:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    done = [int(line) for process in deciders for line in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in deciders] == [0, 0]
    assert sorted(done) == list(range(1, 21))
    assert len(data.boxes(sequence)[0]) == 20
    assert data.queue_items("open") == []


def test_an_accepted_target_leaves_no_cover_over_its_frame(tmp_path: Path) -> None:
    """Two suspects with the same frames: the first item holds the cover's box, the second is the one that is accepted."""
    with Dataset.create(tmp_path / "data") as data:
        frames = [Frame(0, 0.0, np.full((48, 64), 7, np.uint16))]
        cover = {0: [Box(32, 24, 64, 48, "ignore")]}
        sequence = data.add_sequence("log", frames, cover, split="train", group="g", source="s", who="t")
        first = data.boxes(sequence)[0][0].id
        for i, box_id in enumerate((first, None)):
            given = {"kind": "missed", "sequence_id": sequence.id, "frame": 0, "score": 0.5, "reason": "r"}
            data.enqueue(key=f"k{i}", box=Box(20 + 20 * i, 20, 5, 5), box_id=box_id, **given)
        second = next(i for i in data.queue_items("open") if i.key == "k1")
        data.decide(second.id, "accept", who="anna", why="seen")
        assert [(b.label, b.x) for b in data.boxes(sequence)[0]] == [("target", 40)]
        holder = next(i for i in data.queue_items("open") if i.key == "k0")  # of a cover that is gone by now
        review = data.decide(holder.id, "accept", who="anna", why="seen")
        assert sorted((b.label, b.x) for b in data.boxes(sequence)[0]) == [("target", 20), ("target", 40)]
        data.undo(review, who="anna", why="no")
        data.decide(holder.id, "background", who="anna", why="cloud")
        assert [(b.label, b.x) for b in data.boxes(sequence)[0]] == [("target", 40)]


def test_accepting_a_labelled_background_takes_the_label_away(data: Dataset, sequence: Sequence) -> None:
    box = data.add_box(sequence, 2, Box(9, 9, 3, 3), who="a", why="import")
    data.enqueue(
        key="w",
        kind="labelled-background",
        sequence_id=sequence.id,
        frame=2,
        box=Box(9, 9, 3, 3),
        score=1,
        reason="",
        box_id=box,
    )
    data.decide(data.queue_items()[0].id, "accept", who="anna", why="cloud")
    assert box not in {b.id for b in data.boxes(sequence).get(2, [])}


def enqueue_track(data: Dataset, sequence: Sequence, points: list[list[float]]) -> None:
    frame, *place = points[0]
    box = Box(*place)
    more = {"kind": "track", "score": 1, "reason": "", "provenance": {"points": points}}
    data.enqueue(key="t", sequence_id=sequence.id, frame=int(frame), box=box, **more)


def test_an_accepted_track_uncovers_its_frames_and_no_other(data: Dataset, sequence: Sequence) -> None:
    cover = Box(sequence.width / 2, sequence.height / 2, sequence.width, sequence.height, "ignore")
    for frame in range(3):
        data.add_box(sequence, frame, cover, who="a", why="not looked at yet")
    points = [[0, 5, 5, 3, 3], [2, 7, 5, 3, 3]]
    enqueue_track(data, sequence, points)
    data.decide(data.queue_items()[0].id, "accept", who="anna", why="plane")
    whole = {f for f, boxes in data.boxes(sequence).items() if any(b.w == sequence.width for b in boxes)}
    assert whole == {1}


def test_a_track_is_accepted_as_its_boxes_were_corrected(data: Dataset, sequence: Sequence) -> None:
    points = [[f, 5 + f, 5, 3, 3] for f in range(3)]
    enqueue_track(data, sequence, points)
    number = data.queue_items()[0].id
    before = {f: list(boxes) for f, boxes in data.boxes(sequence).items()}
    with pytest.raises(InputError, match="no point on frame 7"):
        data.decide(number, "accept", who="anna", why="plane", track={7: Box(5, 5, 3, 3)})
    review = data.decide(number, "accept", who="anna", why="plane", track={1: Box(6.5, 4, 2, 2), 2: None})
    new = {f: [b for b in boxes if b not in before.get(f, [])] for f, boxes in data.boxes(sequence).items()}
    assert [(b.x, b.y, b.w, b.label) for f in range(3) for b in new.get(f, [])] == [
        (5, 5, 3, "target"),
        (6.5, 4, 2, "target"),
    ]
    data.undo(review, who="anna", why="test")
    assert {f: b for f, b in data.boxes(sequence).items() if b} == {f: b for f, b in before.items() if b}


@pytest.mark.parametrize(("decision", "own", "label"), [("accept", 6.3, "target"), ("interference", 6, "interference")])
def test_a_track_gives_no_second_box_where_a_label_lies_already(
    data: Dataset, sequence: Sequence, decision: str, own: float, label: str
) -> None:
    """Of the label on frame 4 nothing is known; what is added on frame 1 was decided while the track waited. One of another class gives way."""
    enqueue_track(data, sequence, [[0, 5, 5, 3, 3], [1, 6, 5, 3, 3], [2, 7, 5, 3, 3], [4, 5.3, 6, 3, 3]])
    data.decide(propose(data, kind="unlabelled", frame=1, box=Box(6.3, 5, 4, 4)), "accept", who="anna", why="seen")
    far = data.add_box(sequence, 2, Box(12, 5, 3, 3), who="anna", why="another")
    before = data.boxes(sequence)
    track = next(i for i in data.queue_items("open") if i.kind == "track")
    review = data.decide(track.id, decision, who="anna", why="plane")
    boxes = data.boxes(sequence)
    assert {f: [b.x for b in of] for f, of in boxes.items() if f < 3} == {0: [5], 1: [own], 2: [12, 7]}
    assert [len(boxes[4]), *(b.label for f in (1, 4) for b in boxes[f])] == [1, label, label]
    assert far in {b.id for b in boxes[2]}
    data.undo(review, who="anna", why="slip")
    again = {f: [replace(b, id=0) for b in of] for f, of in data.boxes(sequence).items() if of}
    assert again == {f: [replace(b, id=0) for b in of] for f, of in before.items()}


def test_a_corrected_box_of_a_track_takes_the_place_of_the_label_there(data: Dataset, sequence: Sequence) -> None:
    enqueue_track(data, sequence, [[3, 4, 6, 3, 3], [4, 5.3, 6, 3, 3]])
    (label,) = data.boxes(sequence)[4]
    review = data.decide(1, "accept", who="anna", why="plane", track={4: Box(5.5, 6, 4, 4)})
    assert [(b.x, b.w, b.label) for b in data.boxes(sequence)[4]] == [(5.5, 4, "target")]
    data.undo(review, who="anna", why="slip")
    assert [(b.x, b.w) for b in data.boxes(sequence)[4]] == [(label.x, label.w)]


@pytest.mark.parametrize(
    ("kind", "decision", "uncovers"),
    [
        ("missed", "reject", True),
        ("low_confidence", "reject", True),
        ("false_alarm", "background", True),
        ("missed", "background", True),
        ("sample", "background", True),
        ("missed", "ignore", False),
        ("sample", "reject", False),
        ("still", "reject", False),
    ],
)
def test_where_somebody_looked_and_found_nothing_is_background(
    tmp_path: Path, kind: str, decision: str, uncovers: bool
) -> None:
    """The frame in question, not those around it, which nobody has looked at."""
    with Dataset.create(tmp_path / "data") as data:
        frames = [Frame(t, t / 25, np.full((48, 64), t, np.uint16)) for t in range(3)]
        cover = {t: [Box(32, 24, 64, 48, "ignore")] for t in range(3)}
        sequence = data.add_sequence("log", frames, cover, split="train", group="g", source="s", who="t")
        in_question = None if kind == "sample" else data.boxes(sequence)[1][0].id
        given = {"kind": kind, "sequence_id": sequence.id, "frame": 1, "score": 0.5, "reason": "r"}
        data.enqueue(key="k", box=Box(20, 20, 5, 5), box_id=in_question, **given)
        data.decide(data.queue_items("open")[0].id, decision, who="anna", why="seen")
        live = data.boxes(sequence)
        assert (live.get(1, []) == []) == uncovers
        assert [b.label for t in (0, 2) for b in live[t]] == ["ignore", "ignore"]


def test_a_data_set_of_version_2_keeps_its_decisions_and_takes_the_new_one(tmp_path: Path) -> None:
    from irdim.dataset import schema

    with Dataset.create(tmp_path / "data") as data:
        frames = [Frame(0, 0.0, np.full((48, 64), 7, np.uint16))]
        sequence = data.add_sequence("log", frames, {}, split="train", group="g", source="s", who="t")
        for key in "ab":
            data.enqueue(
                key=key, kind="missed", sequence_id=sequence.id, frame=0, box=Box(9, 9, 3, 3), score=1, reason=""
            )
        data.decide(1, "accept", who="anna", why="seen")
    connection = sqlite3.connect(tmp_path / "data" / schema.FILE)
    old = [s for s in schema._statements(schema._FIRST) if "reviews" in s]
    connection.executescript(
        "DROP TABLE undone; DROP INDEX queue_by_score; DROP INDEX queue_of_kind; DROP INDEX queue_of_sequence;"
    )
    connection.executescript("DROP TABLE reviews;" + "".join(old).replace("CREATE TRIGGER boxes", "-- "))
    connection.execute("INSERT INTO reviews VALUES (1, 1, 'accept', 1, 0, 'anna', 'seen', '2026-01-01T00:00:00+00:00')")
    connection.execute("PRAGMA user_version = 2")
    connection.commit()
    connection.close()
    with Dataset.open(tmp_path / "data") as data:
        assert [i.decision for i in data.queue_items("decided")] == ["accept"]
        data.decide(2, "background", who="anna", why="nothing there")
        assert [i.decision for i in data.queue_items("decided")] == ["accept", "background"]
    connection = sqlite3.connect(tmp_path / "data" / schema.FILE)
    with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
        connection.execute("DELETE FROM reviews")


@pytest.mark.parametrize("kind", ["labelled-background", "misplaced", "missed", "track", "sample"])
def test_an_undone_decision_puts_the_boxes_back_and_the_item_can_be_decided_again(
    data: Dataset, sequence: Sequence, kind: str
) -> None:
    [label] = data.boxes(sequence)[4]
    questioned = kind in ("labelled-background", "misplaced")
    points = {"points": [[0, 5, 5, 3, 3], [1, 6, 5, 3, 3]]}
    item = propose(
        data, kind=kind, frame=4 if questioned else 0, box_id=label.id if questioned else None, provenance=points
    )
    before = {f: [(b.x, b.y, b.w, b.h, b.label) for b in boxes] for f, boxes in data.boxes(sequence).items()}
    review = data.decide(item, "accept", who="ann", why="review", more={2: [BOX]})
    after = {f: [(b.x, b.y, b.w, b.h, b.label) for b in boxes] for f, boxes in data.boxes(sequence).items()}
    assert after != before
    assert data.undo(review, who="ann", why="slip") == item
    assert {f: [(b.x, b.y, b.w, b.h, b.label) for b in boxes] for f, boxes in data.boxes(sequence).items()} == before
    assert [i.id for i in data.queue_items("open")] == [item]
    with pytest.raises(InputError, match="undone already by ann"):
        data.undo(review, who="ben", why="slip")
    data.decide(item, "accept", who="ben", why="review", more={2: [BOX]})
    assert {f: [(b.x, b.y, b.w, b.h, b.label) for b in boxes] for f, boxes in data.boxes(sequence).items()} == after


def test_a_decision_whose_box_somebody_has_changed_since_is_not_undone(data: Dataset, sequence: Sequence) -> None:
    review = data.decide(propose(data), "accept", who="ann", why="review")
    [box] = data.boxes(sequence)[0]
    data.supersede(box.id, Box(6, 6, 3, 3), who="ben", why="better")
    with pytest.raises(InputError, match="ben has changed its box since"):
        data.undo(review, who="ann", why="slip")
    assert data.queue_items("open") == []


def test_pages_go_through_the_open_items_once_each(data: Dataset) -> None:
    ids = [propose(data, f"k{n}", score=0.5 + n % 3 / 10, frame=n % 5) for n in range(11)]
    data.decide(ids[5], "accept", who="ann", why="review")
    for order in ("score", "sequence"):
        seen: list[int] = []
        while page := data.queue_page(order=order, after=seen[-1] if seen else None, most=3):
            seen += [i.id for i in page]
        assert sorted(seen) == sorted(set(ids) - {ids[5]})
    assert data.queue_progress() == {"kinds": {"missed": {"all": 11, "decided": 1}}, "sequences": ["a"]}


def test_a_queue_of_200_000_items_is_turned_over_by_its_indices(data: Dataset) -> None:
    """Counted in SQLite's own steps, some ten million of which it takes in a second: a busy machine changes nothing."""
    connection = data._store.connection
    with data.transaction():
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) INSERT INTO queue "
            "SELECT i, 'k' || i, 'missed', 1, i % 5, 5, 5, 3, 3, 'target', (i * 7919 % 1000) / 1000.0, '', NULL, '{}', '' FROM n"
        )
        connection.execute(
            "INSERT INTO reviews (item, decision, iteration, who, why, at) SELECT id, 'accept', 0, 'a', '', '' "
            "FROM queue ORDER BY score DESC, id LIMIT 100000"
        )
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 10_000

    connection.set_progress_handler(count, 10_000)
    for order, kind in (("score", None), ("score", "missed"), ("sequence", None)):
        [item, *_] = data.queue_page(order=order, kind=kind)
        data.decide(item.id, "accept", who="ann", why="review")
    assert data.queue_progress()["kinds"]["missed"]["decided"] == 100_003
    assert steps < 20e6
