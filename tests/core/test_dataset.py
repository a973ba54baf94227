"""The data set: sequences come in whole or not at all, boxes keep their history, any iteration can be rebuilt."""

import contextlib
import resource
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irdim.boxes import Box
from irdim.dataset import Dataset, NotWritable, Sequence, digest_of
from irdim.errors import InputError
from irdim.sources import Frame

BOX = Box(5.0, 6.0, 3.0, 2.0)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Dataset]:
    with Dataset.create(tmp_path / "data") as made:
        yield made


def frames(seed: int = 0, length: int = 5, dtype: type = np.uint16) -> list[Frame]:
    pixels = np.random.default_rng(seed).integers(0, 250, (length, 12, 16)).astype(dtype)
    return [Frame(i, 0.1 * i, p) for i, p in enumerate(pixels)]


def add(
    data: Dataset, name: str = "a", boxes: dict | None = None, given: object = None, **more: object
) -> Sequence | None:
    options = {"split": "train", "group": name, "source": "test", "who": "me", **more}
    return data.add_sequence(name, frames() if given is None else given, boxes or {}, **options)  # type: ignore[arg-type]


def added(data: Dataset, name: str = "a", boxes: dict | None = None, given: object = None, **more: object) -> Sequence:
    sequence = add(data, name, boxes, given, **more)
    assert sequence is not None
    return sequence


def leftovers(data: Dataset) -> list[str]:
    """Names in the frames folder."""
    folder = data.path / "frames"
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frames_times_and_boxes_come_back_as_they_went_in(data: Dataset, dtype: type) -> None:
    given = frames(dtype=dtype)
    sequence = added(data, "a", {2: [BOX, Box(1, 1, 1, 1, "ignore")]}, given, interval=0.1)
    stack = np.stack([f.pixels for f in given])
    assert isinstance(data.frames(sequence), np.memmap)
    np.testing.assert_array_equal(data.frames(sequence), stack)
    np.testing.assert_array_equal(data.times(sequence), [f.time for f in given])
    assert sequence.digest == digest_of(stack)
    assert (sequence.length, sequence.height, sequence.width, sequence.dtype) == (5, 12, 16, stack.dtype.name)
    assert sequence.interval == 0.1
    assert [(b.x, b.y, b.w, b.h, b.label) for b in data.boxes(sequence)[2]] == [
        (5, 6, 3, 2, "target"),
        (1, 1, 1, 1, "ignore"),
    ]
    with Dataset.open(data.path) as again:
        assert again.sequence("a") == sequence
        assert again.boxes(sequence) == data.boxes(sequence)


def test_the_same_frames_come_in_once_under_whatever_name(data: Dataset) -> None:
    added(data)
    assert add(data) is None
    assert add(data, "b") is None
    assert leftovers(data) == ["a.npy"]
    assert [s.name for s in data.sequences()] == ["a"]
    assert data.sequence_with(digest_of(np.stack([f.pixels for f in frames()]))) == data.sequence("a")
    assert data.sequence_with("0") is None


def test_other_frames_under_a_name_that_is_there_are_refused(data: Dataset) -> None:
    added(data)
    with pytest.raises(InputError, match="a: the data set has a sequence of this name"):
        add(data, given=frames(1))


def test_digest_tells_shape_and_depth_apart() -> None:
    a = np.zeros((2, 4, 4), np.uint8)
    assert len({digest_of(x) for x in (a, a.reshape(4, 2, 4), a.reshape(2, 2, 8), np.zeros((2, 2, 4), np.uint16))}) == 4


@pytest.mark.parametrize(
    ("frame", "box", "part"),
    [
        (5, BOX, "frame that is not there"),
        (-1, BOX, "frame that is not there"),
        (0, Box(16.0, 3, 2, 2), "outside the frame"),
        (0, Box(3, -0.1, 2, 2), "outside the frame"),
        (0, Box(3, 3, 0, 2), "size"),
        (0, Box(float("nan"), 3, 2, 2), "size"),
        (0, Box(3, 3, 2, 2, "BIRD"), "label"),
    ],
)
def test_a_box_that_does_not_fit_leaves_nothing_behind(data: Dataset, frame: int, box: Box, part: str) -> None:
    with pytest.raises(InputError, match=f"a, frame {frame}: .*{part}"):
        add(data, boxes={1: [BOX], frame: [box]})
    assert data.sequences() == []
    assert leftovers(data) == []


def test_a_box_partly_outside_is_fine(data: Dataset) -> None:
    added(data, boxes={0: [Box(0.0, 0.0, 9, 9), Box(15.99, 11.99, 9, 9)]})


def test_a_source_that_fails_half_way_leaves_nothing_behind(data: Dataset) -> None:
    def broken() -> Iterator[Frame]:
        yield from frames()[:3]
        raise InputError("clip/f3.png: corrupt")

    with pytest.raises(InputError, match=r"f3\.png"):
        add(data, given=broken())
    with pytest.raises(InputError, match="a: cannot be stored in iteration 7"):
        add(data, iteration=7)
    for bad in ([], [*frames()[:2], frames(dtype=np.uint8)[2]], [Frame(0, float("nan"), frames()[0].pixels)]):
        with pytest.raises(InputError, match=r"^a"):
            add(data, given=bad)
    assert data.sequences() == []
    assert leftovers(data) == []


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".hidden", "a\nb", "x" * 300])
def test_a_name_that_cannot_be_a_files_name_is_refused(data: Dataset, name: str) -> None:
    with pytest.raises(InputError, match="sequence name"):
        add(data, name)


def test_an_outer_transaction_takes_back_frames_rows_and_logs_together(data: Dataset) -> None:
    def ingest() -> None:
        with data.transaction():
            sequence = added(data)
            data.record_log("d1", "log", {})
            data.enqueue(key="k", kind="missed", sequence_id=sequence.id, frame=0, box=BOX, score=0.5, reason="r")
            data.record_log("d1", "log", {})

    with pytest.raises(InputError, match="before"):
        ingest()
    assert (data.sequences(), data.queue_items(), data.ingested("d1"), leftovers(data)) == ([], [], False, [])

    def part() -> None:
        with data.transaction():
            added(data, "b", given=frames(1))
            data.record_log("d1", "log", {})

    with data.transaction():
        added(data)
        data.record_log("d1", "log", {"device": "x"})
        with pytest.raises(InputError, match="before"):  # a part that fails goes alone
            part()
    assert ([s.name for s in data.sequences()], data.ingested("d1"), leftovers(data)) == (["a"], True, ["a.npy"])
    with pytest.raises(InputError, match="before"):
        data.record_log("d1", "log", {})


def test_what_a_killed_import_left_is_cleaned_up_but_not_what_another_one_writes(data: Dataset) -> None:
    folder = data.path / "frames"
    folder.mkdir()
    (folder / ".dead.tmp").write_bytes(b"half")
    (folder / "orphan.npy").write_bytes(b"renamed, never recorded")

    def during() -> Iterator[Frame]:
        first, *rest = frames()
        yield first
        with Dataset.open(data.path) as other:  # imports while this one is half-way
            added(other, "b", given=frames(1))
        yield from rest

    added(data, "a", given=during())
    assert leftovers(data) == ["a.npy", "b.npy"]


def test_splits_are_listed_and_a_group_in_two_of_them_is_found(data: Dataset) -> None:
    added(data, "a", group="hill")
    added(data, "b", given=frames(1), split="val", group="lake")
    assert [s.name for s in data.sequences("val")] == ["b"]
    data.check_splits()
    added(data, "c", given=frames(2), split="test", group="hill")
    with pytest.raises(InputError, match=r"'hill'.*'test' and 'train'"):
        data.check_splits()
    with pytest.raises(InputError, match="split"):
        data.sequences("all")
    with pytest.raises(InputError, match="'z'"):
        data.sequence("z")


def test_a_box_is_superseded_and_every_iteration_can_be_rebuilt(data: Dataset) -> None:
    sequence = added(data, boxes={0: [BOX], 1: [BOX]})
    first, second = data.boxes(sequence)[0][0], data.boxes(sequence)[1][0]
    assert data.begin_iteration("mined") == data.current_iteration() == 1
    moved = data.supersede(first.id, Box(7, 7, 2, 2), who="me", why="off centre")
    assert data.begin_iteration("again") == 2
    data.supersede(second.id, None, who="me", why="nothing there", iteration=2)
    extra = data.add_box(sequence, 3, BOX, who="me", why="seen", iteration=2)

    def ids(iteration: int | None) -> dict[int, list[int]]:
        return {frame: [b.id for b in of] for frame, of in data.boxes(sequence, iteration).items()}

    assert ids(0) == {0: [first.id], 1: [second.id]}
    assert ids(1) == {0: [moved], 1: [second.id]}
    assert ids(2) == ids(None) == {0: [moved], 3: [extra]}


def test_a_box_is_superseded_only_once_and_not_in_its_past(data: Dataset) -> None:
    sequence = added(data, boxes={0: [BOX]})
    box = data.boxes(sequence)[0][0]
    data.begin_iteration("next")
    new = data.supersede(box.id, BOX, who="ann", why="same")
    with pytest.raises(InputError, match=r"superseded already \(ann"):
        data.supersede(box.id, None, who="bob", why="late")
    with pytest.raises(InputError, match="cannot be superseded in 0"):
        data.supersede(new, None, who="bob", why="late", iteration=0)
    gone = data.supersede(new, None, who="bob", why="nothing there")
    for number in (gone, 999):
        with pytest.raises(InputError, match=f"box {number}"):
            data.supersede(number, BOX, who="bob", why="?")
    with pytest.raises(InputError, match="iteration 9"):
        data.add_box(sequence, 0, BOX, who="bob", why="?", iteration=9)
    with pytest.raises(InputError, match="frame 7"):
        data.add_box(sequence, 7, BOX, who="bob", why="?")


def test_rows_of_boxes_cannot_be_changed_or_deleted_even_by_hand(data: Dataset) -> None:
    added(data, boxes={0: [BOX]})
    by_hand = sqlite3.connect(data.path / "dataset.sqlite")
    for statement in ("UPDATE boxes SET x = 1", "DELETE FROM boxes"):
        with pytest.raises(sqlite3.IntegrityError, match="superseded, never"):
            by_hand.execute(statement)
    by_hand.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["add", "move", "remove", "iterate"])), max_size=20))
def test_any_history_replays_to_what_each_iteration_showed(
    tmp_path_factory: pytest.TempPathFactory, steps: list
) -> None:
    """Against a plain dict as the model."""
    with Dataset.create(tmp_path_factory.mktemp("d") / "data") as data:
        sequence, live, seen = added(data), {}, {}  # type: ignore[var-annotated]
        for number, action in steps:
            if action == "iterate":
                seen[data.current_iteration()] = dict(live)
                data.begin_iteration("next")
            elif action == "add":
                live[data.add_box(sequence, number % 5, BOX, who="me", why="w")] = number % 5
            elif live:
                box_id = sorted(live)[number % len(live)]
                frame = live.pop(box_id)
                new = data.supersede(box_id, BOX if action == "move" else None, who="me", why="w")
                if action == "move":
                    live[new] = frame
        seen[data.current_iteration()] = dict(live)
        for iteration, expected in seen.items():
            assert {b.id: f for f, of in data.boxes(sequence, iteration).items() for b in of} == expected


def test_only_a_data_set_of_a_known_version_is_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set here"):
        Dataset.open(tmp_path)
    (tmp_path / "dataset.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 30)
    with pytest.raises(InputError, match="not a data set"):
        Dataset.open(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    foreign = sqlite3.connect(other / "dataset.sqlite")
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    for attempt in (Dataset.open, Dataset.create):
        with pytest.raises(InputError, match="not an irdim data set"):
            attempt(other)
    Dataset.create(tmp_path / "new").close()
    newer = sqlite3.connect(tmp_path / "new" / "dataset.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(InputError, match="version 99"):
        Dataset.open(tmp_path / "new")


def test_a_data_set_is_made_in_an_empty_folder_or_after_a_kill_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files"):
        Dataset.create(tmp_path / "full")
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "dataset.sqlite").touch()
    Dataset.create(tmp_path / "killed").close()
    with pytest.raises(InputError, match="already"):
        Dataset.create(tmp_path / "killed")
    Dataset.create(tmp_path / "killed", exist_ok=True).close()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="a file"):
        Dataset.create(tmp_path / "file")


def test_frames_that_were_lost_or_exchanged_are_named(data: Dataset) -> None:
    sequence = added(data)
    path = data.path / "frames" / "a.npy"
    np.save(path, np.zeros((2, 12, 16), np.uint16))
    with pytest.raises(InputError, match=r"a\.npy"):
        data.frames(sequence)
    path.unlink()
    with pytest.raises(InputError, match="gone"):
        data.frames(sequence)


@contextlib.contextmanager
def full_disk(data: Dataset) -> Iterator[None]:
    """No file grows beyond what SQLite's write-ahead log has now: it is what a full disk stops first."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((data.path / "dataset.sqlite-wal").stat().st_size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    "write",
    [
        lambda data: data.add_box(data.sequence("a"), 1, BOX, who="me", why="w"),
        lambda data: data.add_device("mast-4", "ab" * 32, who="me"),
        lambda data: data.remove_device("mast-3", who="me"),
        lambda data: data.record_refusal("other.irlog", "why"),
        lambda data: data.settle_refusal("one.irlog"),
        lambda data: add(data, "b", given=frames(1)),
    ],
    ids=["box", "device", "device taken away", "refusal", "refusal settled", "sequence"],
)
def test_a_full_disk_is_told_as_such_and_what_was_to_be_written_is_not_there(
    data: Dataset, write: Callable[[Dataset], object]
) -> None:
    added(data)
    data.add_device("mast-3", "cd" * 32, who="me")
    data.record_refusal("one.irlog", "why")
    with full_disk(data), pytest.raises(NotWritable, match=r"cannot be written .*check the disk"):
        write(data)
    assert data.boxes(data.sequence("a")) == {}
    assert [device.name for device in data.devices()] == ["mast-3"]
    assert [refused.name for refused in data.refused()] == ["one.irlog"]
    assert leftovers(data) == ["a.npy"]
    write(data)
