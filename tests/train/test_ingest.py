import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from field import field_log

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.fieldlog import read_log
from irdim_train.ingesting import ingest


@pytest.fixture
def depot(tmp_path: Path) -> Path:
    folder = tmp_path / "depot"
    field_log(folder, 1, score=0.4)
    field_log(folder, 2, kind="false_alarm", score=0.9)
    field_log(folder / "mast-4", 3, kind="still", score=0.2)
    return folder


@pytest.fixture
def data(tmp_path: Path):
    with Dataset.create(tmp_path / "data") as opened:
        yield opened


def contents(data: Dataset) -> dict:
    return {s.name: data.frames(s).tobytes() for s in data.sequences()}


def test_logs_become_sequences_and_queue_items_with_their_provenance(data, depot):
    result = ingest(data, depot.as_uri())
    assert (len(result.added), result.there, result.quarantined) == (3, 0, {})
    assert result.kinds == {"missed": 1, "false_alarm": 1, "still": 1}
    items = data.queue_items("open")
    assert [(i.kind, i.score, i.box.label) for i in items] == [
        ("false_alarm", 0.9, "interference"),
        ("missed", 0.4, "target"),
        ("still", 0.2, "interference"),
    ]
    item = items[1]
    assert (item.frame, item.box.x, item.box.y) == (9, 50.0, 50.0)
    sequence = next(s for s in data.sequences() if s.id == item.sequence_id)
    assert (sequence.split, sequence.group, sequence.interval) == ("train", "field mast-3/west", 0.04)
    log = read_log(depot / item.provenance["log"])
    assert np.array_equal(data.frames(sequence), log.frames)
    assert data.times(sequence).tolist() == log.description["frames"]["times"]
    assert {k: item.provenance[k] for k in ("device", "camera", "bundle", "frame")} == {
        **{"device": "mast-3", "camera": "west", "bundle": "ab" * 32, "frame": 13},
    }
    assert item.provenance["sha256"] == log.digest


def test_however_often_it_runs_each_log_is_in_once(data, depot):
    ingest(data, depot.as_uri())
    before = contents(data)
    again = ingest(data, str(depot))
    assert (again.added, again.there) == ([], 3)
    assert contents(data) == before
    assert len(data.queue_items()) == 3


def test_the_same_suspect_logged_twice_is_asked_once(data, depot):
    field_log(depot, 1, score=0.4, minute=30)
    result = ingest(data, depot.as_uri())
    assert (len(result.added), result.again) == (4, 1)
    assert len(data.sequences()) == len(data.queue_items()) == 3


def test_two_suspects_on_the_same_frames_are_two_questions(data, tmp_path):
    field_log(tmp_path / "depot", 1, kind="missed")
    field_log(tmp_path / "depot", 1, kind="false_alarm")
    ingest(data, str(tmp_path / "depot"))
    assert len(data.sequences()) == 1
    assert {i.kind for i in data.queue_items()} == {"missed", "false_alarm"}
    for item in data.queue_items("open"):
        data.decide(item.id, "accept", who="anna", why="seen")


def test_frames_nobody_looked_at_count_for_nothing_until_they_are_decided(data, depot):
    ingest(data, depot.as_uri())
    item = next(i for i in data.queue_items("open") if i.kind == "missed")
    sequence = next(s for s in data.sequences() if s.id == item.sequence_id)
    assert {b.label for of in data.boxes(sequence).values() for b in of} == {"ignore"}
    assert len(data.boxes(sequence)) == sequence.length
    data.decide(item.id, "accept", who="anna", why="seen")
    (box,) = data.boxes(sequence)[item.frame]
    assert (box.label, box.x, box.y) == ("target", 50.0, 50.0)
    assert data.boxes(sequence)[0][0].label == "ignore"


def test_what_fails_is_quarantined_with_the_reason_and_the_rest_goes_in(data, depot, tmp_path):
    good = sorted(depot.glob("*.irlog"))
    good[0].write_bytes(good[0].read_bytes()[:-7])
    (depot / "evil name;\n.irlog").write_bytes(b"x")
    (depot / f"20260304T050600000Z-missed-{'0' * 16}.irlog").write_bytes(b"PK")
    (depot / f".{good[1].name}.part").write_bytes(b"half")
    (depot / "notes.txt").write_text("no log")
    result = ingest(data, depot.as_uri())
    assert len(result.added) == 2
    assert len(result.quarantined) == 3
    quarantine = tmp_path / "data" / "quarantine"
    reasons = [p.read_text() for p in quarantine.glob("*.reason.txt")]
    assert len(reasons) == 3
    assert any("truncated or changed" in r for r in reasons)
    assert all("/tmp" not in r for r in reasons)
    assert (quarantine / good[0].name).exists()
    assert all(p.parent == quarantine for p in quarantine.rglob("*"))


def test_a_better_copy_leaves_the_quarantine(data, depot, tmp_path):
    log = min(depot.glob("*.irlog"))
    whole = log.read_bytes()
    log.write_bytes(whole[:100])
    ingest(data, depot.as_uri())
    log.write_bytes(whole)
    result = ingest(data, depot.as_uri())
    assert result.added == [log.name]
    assert list((tmp_path / "data" / "quarantine").iterdir()) == []


def test_a_log_that_is_too_large_is_not_fetched(data, depot, monkeypatch):
    monkeypatch.setattr("irdim_train.ingesting.run.MOST_FILE", 5000)
    result = ingest(data, depot.as_uri())
    assert len(result.quarantined) == 3
    assert all("at most 5000" in r for r in result.quarantined.values())


@pytest.mark.parametrize("url", ["file:///nowhere/at/all", "nosuch://x"])
def test_a_url_that_is_not_there_is_one_line(data, url):
    with pytest.raises(InputError) as caught:
        ingest(data, url)
    assert "\n" not in str(caught.value)


_RUN = """
import sys, typer
from irdim_train.commands.ingest import command
from irdim.command_line import run_command
app = typer.Typer()
app.command()(command)
run_command(app)
"""


def start(*options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_command_answers_in_json_and_refuses_in_one_line(tmp_path, depot):
    Dataset.create(tmp_path / "data").close()
    process = start(str(depot), "--data", str(tmp_path / "data"), "--json")
    answer = json.loads(process.communicate(timeout=60)[0])
    assert (len(answer["added"]), answer["open_items"]) == (3, 3)
    process = start(str(depot), "--data", str(tmp_path / "none"))
    error = process.communicate(timeout=60)[1]
    assert (process.returncode, error.count("\n")) == (2, 1)
    assert "no data set here" in error


def test_kills_lose_and_double_nothing(tmp_path):
    depot, out = tmp_path / "depot", tmp_path / "data"
    names = {field_log(depot, seed).name for seed in range(24)}
    Dataset.create(out).close()
    draw, kills = random.Random(1), 0
    for _ in range(30):
        process = start(str(depot), "--data", str(out), "--json")
        before = len(list((out / "frames").glob("log-*.npy")))
        while process.poll() is None and len(list((out / "frames").glob("log-*.npy"))) < before + 4:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.02))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        with Dataset.open(out) as data:
            assert len(data.sequences()) == len(data.queue_items())
            if len(data.sequences()) == 24:
                break
    assert kills > 2
    with Dataset.open(out) as data:
        result = ingest(data, str(depot))
        assert (result.added, result.there) == ([], 24)
        assert {i.provenance["log"] for i in data.queue_items()} == names
        assert len(data.sequences()) == 24
