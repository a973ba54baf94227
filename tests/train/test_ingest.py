import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from field import described, field_log, rezipped, sampled_frame, tally_file
from typer.testing import CliRunner

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.fieldlog import read_log
from irdim.sources import Frame
from irdim_train.cli import app
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


# the same thing again


def test_a_replay_in_another_file_does_nothing(data, depot, tmp_path):
    ingest(data, str(depot))
    first = sorted(depot.glob("*.irlog"))[0]
    again = rezipped(first)
    assert again.name != first.name
    result = ingest(data, str(depot))
    assert (result.added, result.replayed, result.there) == ([], 1, 3)
    assert len(data.queue_items()) == len(data.sequences()) == 3
    assert ingest(data, str(depot)).there == 4  # it is not fetched anew


def test_an_old_log_under_a_new_name_is_refused(data, depot):
    first = sorted(depot.glob("*.irlog"))[0]
    other = first.with_name("2031" + first.name[4:])
    other.write_bytes(first.read_bytes())
    result = ingest(data, str(depot))
    assert result.there == 1  # the digest is in the name: whichever came first is taken, once
    assert len(data.queue_items()) == 3


def test_in_whatever_order_logs_come_the_data_set_is_the_same(tmp_path):
    logs = [field_log(tmp_path / "all", seed, score=seed / 10, minute=9 - seed) for seed in range(6)]
    found = []
    for turn in range(2):
        with Dataset.create(tmp_path / f"data{turn}") as data:
            for log in logs if turn else reversed(logs):
                depot = tmp_path / f"depot{turn}"
                depot.mkdir(exist_ok=True)
                (depot / log.name).write_bytes(log.read_bytes())
                ingest(data, str(depot))
            found.append(([(i.key, i.score) for i in data.queue_items()], contents(data)))
    assert found[0] == found[1]


# what a hostile or broken device may say


def test_content_that_cannot_be_taken_in_does_not_hold_up_the_rest(data, depot):
    """Found by thinking like an attacker: one log that the reader takes and the data set does not must not block every ingest."""
    first = sorted(depot.glob("*.irlog"))[0]
    for change in (
        lambda d: d["frames"].update(times=[1e17] * 12),
        lambda d: d.update(interval=1e-300),
        lambda d: d["verdict"].update(w=1e17, h=1e17),
        lambda d: d.update(source="\ud800"),
        lambda d: d.update(input={"frame_step": "x", "register": []}),
    ):
        rezipped(first, described(change))
    result = ingest(data, str(depot))
    assert {log.name for log in depot.rglob("*.irlog")} == {*result.added, *result.quarantined}
    assert len(result.added) >= 3


def test_a_quarantine_is_bounded_and_the_reasons_stay(data, tmp_path, monkeypatch):
    monkeypatch.setattr("irdim_train.ingesting.run.MOST_QUARANTINE", 1000)
    log = field_log(tmp_path / "depot", 1)
    log.write_bytes(log.read_bytes()[:-1])
    assert list(ingest(data, str(tmp_path / "depot")).quarantined) == [log.name]
    (reason,) = (tmp_path / "data" / "quarantine").iterdir()
    assert "the quarantine is full" in reason.read_text()


def test_the_reason_does_not_repeat_the_name(data, tmp_path):
    log = field_log(tmp_path / "depot", 1)
    log.write_bytes(log.read_bytes()[:-1])
    process = start(str(tmp_path / "depot"), "--data", str(tmp_path / "data"))
    out = process.communicate(timeout=60)[0]
    assert f"quarantined: {log.name}: its digest" in out


# splits


@pytest.mark.parametrize("by", ["name", "digest"])
def test_suspects_of_a_kept_back_recording_stay_kept_back(data, tmp_path, by):
    frames = [Frame(i, i / 25, np.full((20, 20), i, np.uint16)) for i in range(5)]
    kept = data.add_sequence("night", frames, {}, split="val", group="roof", source="x", who="anna")
    assert kept is not None
    source = {"source": "night"} if by == "name" else {"source": "renamed", "source_digest": kept.digest}
    field_log(tmp_path / "depot", 1, context=source)
    field_log(tmp_path / "depot", 2, context={"source": "another"})
    ingest(data, str(tmp_path / "depot"))
    found = {(s.split, s.group) for s in data.sequences() if s.name.startswith("log-")}
    assert found == {("val", "roof"), ("train", "field mast-3/west")}
    data.check_splits()
    field_log(tmp_path / "depot", 3, context=source)
    said = CliRunner().invoke(
        app, ["ingest", str(tmp_path / "depot"), "--data", str(data.path)], catch_exceptions=False
    )
    assert "1 of recordings that the data set has in val: they go there too" in said.stdout


def test_a_suspect_of_frames_that_are_there_already_counts_for_their_own_split(data, tmp_path):
    """The frames came in with an earlier log, before the recording itself was known to be kept back."""
    field_log(tmp_path / "depot", 1, context={"source": "night"})
    ingest(data, str(tmp_path / "depot"))
    frames = [Frame(i, i / 25, np.full((20, 20), i, np.uint16)) for i in range(5)]
    data.add_sequence("night", frames, {}, split="val", group="roof", source="x", who="anna")
    field_log(tmp_path / "depot", 1, kind="false_alarm", context={"source": "night"})
    field_log(tmp_path / "depot", 2, context={"source": "night"})
    result = ingest(data, str(tmp_path / "depot"))
    assert len(result.added) == 2
    assert sorted(s.split for s in data.sequences() if s.name.startswith("log-")) == ["train", "val"]
    assert result.kept_back == {"val": 1}


@pytest.mark.parametrize(
    ("at", "label", "says"),
    [
        ((71, 61), "target", "night, is labelled: target here"),
        ((120, 20), "interference", "night, is labelled: nothing here"),
    ],
)
def test_what_the_recording_is_labelled_with_goes_into_the_question(data, tmp_path, at, label, says):
    log = read_log(field_log(tmp_path / "depot", 1, kind="still"))
    top, left = log.description["frames"]["origin"]
    whole = np.zeros((16, 128, 160), np.uint16)
    whole[4:16, top : top + 96, left : left + 96] = log.frames
    frames = [Frame(i, i / 25, pixels) for i, pixels in enumerate(whole)]
    data.add_sequence("night", frames, {13: [Box(*at, 5, 5)]}, split="train", group="roof", source="x", who="anna")
    ingest(data, str(tmp_path / "depot"))
    field_log(tmp_path / "depot", 1, kind="false_alarm")  # which claims what it claims
    ingest(data, str(tmp_path / "depot"))
    item, claim = sorted(data.queue_items(), key=lambda i: i.kind, reverse=True)
    assert (item.box.label, claim.box.label) == (label, "interference")
    assert item.reason.endswith(says)
    assert claim.reason.endswith(says)
    field_log(tmp_path / "depot", 2, kind="still")  # other frames under the same name
    ingest(data, str(tmp_path / "depot"))
    other = next(i for i in data.queue_items() if i.id not in (item.id, claim.id))
    assert (other.box.label, "is labelled" in other.reason) == ("interference", False)


# samples and tallies


def test_a_sampled_frame_is_marked_in_full_before_it_counts(data, tmp_path):
    log = sampled_frame(tmp_path / "depot", 1, [(24.0, 24.0, 0.9), (5.0, 5.0, 0.2)], probability=0.02)
    ingest(data, str(tmp_path / "depot"))
    (item,) = data.queue_items()
    assert (item.kind, item.box_id, item.provenance["sample_probability"]) == ("sample", None, 0.02)
    assert [d["score"] for d in item.provenance["detections"]] == [0.9]  # the other is below the report threshold
    sequence = data.sequence(f"log-{log.name[-22:-6]}")
    assert [b.label for b in data.boxes(sequence)[item.frame]] == ["ignore"]
    with pytest.raises(InputError, match="mark the target itself"):
        data.decide(item.id, "target", who="anna", why="seen")
    data.add_box(sequence, item.frame, Box(24, 24, 3, 3), who="anna", why="seen")
    data.add_box(sequence, item.frame, Box(40, 40, 6, 6, "ignore"), who="anna", why="unclear")
    data.decide(item.id, "accept", who="anna", why="complete")
    assert {(b.label, b.w) for b in data.boxes(sequence)[item.frame]} == {("target", 3), ("ignore", 6)}
    assert [b.label for b in data.boxes(sequence)[0]] == ["ignore"]  # the frames around it stay covered


def test_a_sample_of_one_target_is_decided_in_one_step_and_a_rejected_one_stays_covered(data, tmp_path):
    for seed in (1, 2):
        sampled_frame(tmp_path / "depot", seed, [])
    ingest(data, str(tmp_path / "depot"))
    one, other = data.queue_items()
    data.decide(one.id, "target", who="anna", why="seen", box=Box(10, 10, 3, 3))
    data.decide(other.id, "reject", who="anna", why="too dim to say")
    sequences = {s.id: s for s in data.sequences()}
    assert [(b.label, b.x) for b in data.boxes(sequences[one.sequence_id])[one.frame]] == [("target", 10)]
    assert [b.label for b in data.boxes(sequences[other.sequence_id])[other.frame]] == ["ignore"]


def test_a_tally_comes_in_once_and_asks_nobody(data, tmp_path):
    tally_file(tmp_path / "depot")
    for there in (0, 1):
        result = ingest(data, str(tmp_path / "depot"))
        assert (result.tallies, result.there, data.queue_items(), data.sequences()) == (1 - there, there, [], [])
    ((log, tally),) = data.tallies()
    assert (log.kind, tally["frames"], tally["seconds"]) == ("tally", 90_000, 3600)


def test_a_whole_frame_beside_the_crop_comes_in_too(data, tmp_path):
    whole = np.arange(128 * 160, dtype=np.uint16).reshape(128, 160)
    log = field_log(tmp_path / "depot", 1, whole_frame=whole)
    ingest(data, str(tmp_path / "depot"))
    sequence = data.sequence(f"log-{log.name[-22:-6]}-whole")
    assert np.array_equal(data.frames(sequence)[0], whole)
    assert [b.label for b in data.boxes(sequence)[0]] == ["ignore"]


# ends that fail


def test_a_folder_without_logs_says_so(tmp_path, data):
    (tmp_path / "depot").mkdir()
    (tmp_path / "depot" / "notes.txt").write_text("no log")
    process = start(str(tmp_path / "depot"), "--data", str(tmp_path / "data"))
    error = process.communicate(timeout=60)[1]
    assert (process.returncode, error.count("\n")) == (2, 1)
    assert "no field log" in error


def test_a_server_that_fails_one_request_in_three_is_asked_again(data, tmp_path, monkeypatch):
    """A real folder behind a file system that fails."""
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    class Shaky(LocalFileSystem):
        protocol = "shaky"
        draw = random.Random(2)

        def open(self, *args, **options):
            if self.draw.random() < 1 / 3:
                raise OSError("connection reset")
            return super().open(*args, **options)

    monkeypatch.setattr("irdim_train.ingesting.fetching.WAITS", (0.0,) * 4)
    fsspec.register_implementation("shaky", Shaky, clobber=True)
    logs = [field_log(tmp_path / "depot", seed) for seed in range(20)]
    result = ingest(data, f"shaky://{tmp_path / 'depot'}")
    for _ in range(3):
        result = ingest(data, f"shaky://{tmp_path / 'depot'}") if result.failed else result
    assert {log.name for log in data.logs()} == {log.name for log in logs}
    assert len(data.queue_items()) == 20


def test_two_ingests_do_not_meet(data, depot, tmp_path):
    import fcntl

    with (tmp_path / "data" / "ingest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another irdim-train ingest"):
            ingest(data, str(depot))


_FULL = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, MOST))
{_RUN}"""


@pytest.mark.parametrize("limit", [3_000, 100_000, 200_000, 260_000])
def test_a_disk_that_fills_ends_in_one_line_and_the_next_run_goes_on(tmp_path, limit):
    """No file may grow beyond the limit, as on a full disk: at once, at the download, at the frames, in SQLite."""
    depot = tmp_path / "depot"
    names = {field_log(depot, seed).name for seed in range(3)}
    Dataset.create(tmp_path / "data").close()
    command = [sys.executable, "-c", _FULL.replace("MOST", str(limit)), str(depot), "--data", str(tmp_path / "data")]
    full = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if full.returncode:
        assert (full.returncode, full.stderr.count("\n")) == (2, 1), full.stderr
    with Dataset.open(tmp_path / "data") as data:
        assert len(data.sequences()) == len(data.queue_items()) == len(data.logs())
        assert data.refused() == []  # a full disk is no log's fault
        ingest(data, str(depot))
        assert {log.name for log in data.logs()} == names
        assert len(data.sequences()) == len(data.queue_items()) == 3
    assert not list((tmp_path / "data").glob(".incoming/*"))
    assert limit > 200_000 or full.returncode == 2
