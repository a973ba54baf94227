import json
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from irdim.detector import Step
from irdim.differencing import InputSpec
from irdim.fieldlog import read_tally
from irdim.sources import Frame
from irdim_edge import tallying
from irdim_edge.policy import Budget
from irdim_edge.spool import Bounds, Spool
from irdim_edge.tallying import OPEN, Tallies, load_open
from irdim_edge.writer import Writer

NO_ROOM, ROOM = Bounds(10, 10), Bounds(1 << 20, 100)
FRAME = Frame(0, 0.0, np.zeros((4, 4), np.uint8))


class Run:
    """Tallies with a real spool and writer; notes what goes wrong."""

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.errors = folder, []
        self.spool = Spool(folder / "spool", bounds)
        self.writer = Writer(self.spool, Budget({}), lambda line: None, self.errors.append)
        self.tallies = Tallies(folder, self.writer, self.spool, dict)

    def hour(self, frames: int) -> None:
        self.tallies.begin("mast-3", "west", "ab" * 32, InputSpec())
        for _ in range(frames):
            self.tallies.count(Step(FRAME, "warming", "history"), 0, 0, list)
        self.tallies.close()

    def end(self) -> list[int]:
        """Frames of each tally in the spool, oldest first."""
        self.writer.close()
        self.spool.close()
        found = sorted((self.folder / "spool").glob("*-tally-*"))
        return [read_tally(path).tally.frames for path in found]


def test_a_tally_that_the_spool_has_no_room_for_is_kept_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(tallying, "RETRY_EVERY", 0.0)
    run = Run(tmp_path, NO_ROOM)
    run.hour(3)
    run.hour(4)
    run.writer.then(lambda: setattr(run.spool, "bounds", ROOM))
    run.tallies.begin("mast-3", "west", "ab" * 32, InputSpec())
    run.tallies.keep()
    assert run.end() == [3, 4]
    assert not run.errors
    assert not (run.spool.folder / "evicted.jsonl").exists()


def test_what_no_room_was_found_for_goes_in_with_the_next_run(tmp_path):
    first = Run(tmp_path, NO_ROOM)
    first.hour(3)
    first.hour(4)
    assert first.end() == []
    assert [tally.frames for tally in load_open(tmp_path)] == [3, 4]
    second = Run(tmp_path, ROOM)
    assert second.end() == [3, 4]
    assert not (tmp_path / OPEN).exists()


def test_a_spool_that_fails_costs_no_tally(tmp_path, monkeypatch):
    monkeypatch.setattr(tallying, "RETRY_EVERY", 0.0)
    run = Run(tmp_path, ROOM)
    run.writer.then(lambda: (tmp_path / "spool").rename(tmp_path / "away"))
    run.writer.then(lambda: (tmp_path / "spool").write_text("a file where the folder was"))
    run.hour(5)
    run.writer.then((tmp_path / "spool").unlink)
    run.writer.then(lambda: (tmp_path / "away").rename(tmp_path / "spool"))
    run.hour(6)
    assert run.end() == [5, 6]
    assert len(run.errors) == 1


@pytest.mark.parametrize("content", ["", "[{}]", "[1]", "null", '{"frames": 3}', json.dumps([{"begin": 3, "end": 4}])])
def test_an_open_tally_that_does_not_read_is_none(tmp_path, content):
    (tmp_path / OPEN).write_text(content)
    assert load_open(tmp_path) == []


def test_a_tally_comes_out_of_its_file_as_it_went_in(tmp_path):
    at = datetime(2026, 3, 4, tzinfo=timezone.utc)
    given = tallying.Tally("mast-3", "west", "ab" * 32, at, at, 5, {"gap": 1}, 2, 1, {"missed": {"logged": 1}}, {})
    tallying.save_open(tmp_path, [given])
    assert [vars(tally) for tally in load_open(tmp_path)] == [vars(given)]
