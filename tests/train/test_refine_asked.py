"""Doubts, once they are found: nothing is asked about twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rendered import make_data

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.dataset.records import LABELLED_BACKGROUND, MISPLACED, UNLABELLED, WRONG_CATEGORY
from irdim_train.refining import Doubt, enqueue_doubts

FRAME = 20


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Dataset]:
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        yield data


def doubt(kind: str, x: float, y: float, box_id: int | None = None) -> Doubt:
    return Doubt(kind, FRAME, Box(x, y, 5, 5), box_id, 4.0, 4.0, 0.01)


def ask(data: Dataset, *doubts: Doubt) -> list[str]:
    """Kinds of the items that are new."""
    sequence = data.sequence("seq0")
    return sorted(enqueue_doubts(data, [(sequence, d) for d in doubts], Path("run"), {}).elements())


def propose(data: Dataset, kind: str, x: float, y: float) -> int:
    box, sequence = Box(x, y, 5, 5), data.sequence("seq0")
    points = {"points": [[FRAME, x, y, 5, 5]]}
    given = {"sequence_id": sequence.id, "frame": FRAME, "box": box, "score": 0.5, "reason": "", "provenance": points}
    data.enqueue(key=kind, kind=kind, **given)
    return next(i.id for i in data.queue_items("open") if i.kind == kind)


def test_a_label_that_was_asked_about_is_not_asked_about_as_another_kind(data):
    (label,) = data.boxes(data.sequence("seq0"))[FRAME]
    assert ask(data, doubt(MISPLACED, label.x + 7, label.y, label.id)) == [MISPLACED]
    data.decide(data.queue_items()[0].id, "reject", who="anna", why="right as it is")
    for kind in (LABELLED_BACKGROUND, WRONG_CATEGORY):
        assert ask(data, doubt(kind, label.x, label.y, label.id)) == []


def test_a_label_that_a_decision_put_there_is_not_asked_about_again(data):
    (label,) = data.boxes(data.sequence("seq0"))[FRAME]
    ask(data, doubt(MISPLACED, label.x + 7, label.y, label.id))
    data.decide(data.queue_items()[0].id, "accept", who="anna", why="there")
    (moved,) = data.boxes(data.sequence("seq0"))[FRAME]
    assert ask(data, doubt(LABELLED_BACKGROUND, moved.x, moved.y, moved.id)) == []


@pytest.mark.parametrize("decision", ["reject", "accept", None])
@pytest.mark.parametrize("kind", ["missed", "false_alarm", "low_confidence"])
def test_a_place_that_was_asked_about_for_another_reason_is_not_asked_about_again(data, kind, decision):
    number = propose(data, kind, 10, 10)
    if decision:
        data.decide(number, decision, who="anna", why="looked")
    assert ask(data, doubt(UNLABELLED, 12, 10), doubt(UNLABELLED, 10, 16)) == [UNLABELLED]
    for label in data.boxes(data.sequence("seq0"))[FRAME][1:]:  # what the decision put there
        assert ask(data, doubt(LABELLED_BACKGROUND, label.x, label.y, label.id)) == []


@pytest.mark.parametrize("kind", ["track", "sample"])
def test_a_track_or_a_whole_frame_asks_about_no_one_place(data, kind):
    propose(data, kind, 10, 10)
    assert ask(data, doubt(UNLABELLED, 10, 10)) == [UNLABELLED]


def test_of_two_labels_side_by_side_each_is_asked_about(data):
    """Two labels of one target: of which the second must not stay because somebody was asked about the first."""
    sequence = data.sequence("seq0")
    (label,) = data.boxes(sequence)[FRAME]
    other = data.add_box(sequence, FRAME, Box(label.x + 1, label.y, 5, 5), who="tests", why="twice")
    assert ask(data, doubt(LABELLED_BACKGROUND, label.x, label.y, label.id)) == [LABELLED_BACKGROUND]
    assert ask(data, doubt(LABELLED_BACKGROUND, label.x + 1, label.y, other)) == [LABELLED_BACKGROUND]
    assert ask(data, doubt(UNLABELLED, label.x + 2, label.y)) == []
