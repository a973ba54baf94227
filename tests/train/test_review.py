import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from field import field_log

from irdim.dataset import Dataset
from irdim_train.ingesting import ingest

_RUN = """
import sys, typer
from irdim_train.commands.review import command
from irdim.command_line import run_command
app = typer.Typer()
app.command()(command)
run_command(app)
"""


def review(*options: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", _RUN, *options], capture_output=True, text=True, timeout=120, **more)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for seed, (kind, score) in enumerate([("missed", 0.4), ("false_alarm", 0.9), ("missed", 0.6)]):
        field_log(tmp_path / "depot", seed, kind=kind, score=score)
    with Dataset.create(tmp_path / "data") as opened:
        ingest(opened, str(tmp_path / "depot"))
    return tmp_path / "data"


def labels(data: Path) -> dict[int, str]:
    """What is at each decided item's frame now."""
    with Dataset.open(data) as opened:
        sequences = {s.id: s for s in opened.sequences()}
        return {i.id: opened.boxes(sequences[i.sequence_id])[i.frame][0].label for i in opened.queue_items("decided")}


def test_items_are_listed_by_score(data):
    answer = json.loads(review(str(data), "--json").stdout)
    assert [(i["kind"], i["score"]) for i in answer] == [("false_alarm", 0.9), ("missed", 0.6), ("missed", 0.4)]
    assert answer[0]["provenance"]["device"] == "mast-3"
    only = json.loads(review(str(data), "--json", "--kind", "missed", "--most", "1").stdout)
    assert [i["score"] for i in only] == [0.6]
    shown = review(str(data), "--list").stdout
    assert "false_alarm" in shown
    assert "3 open" in shown


def test_decisions_by_options_are_recorded_with_the_name(data):
    ids = [i["id"] for i in json.loads(review(str(data), "--json").stdout)]
    options = ["--decide", f"{ids[0]}=reject", "--decide", f"{ids[1]}=interference", "--accept", str(ids[2])]
    assert review(str(data), *options, "--by", "anna").returncode == 0
    assert labels(data) == {ids[0]: "target", ids[1]: "interference", ids[2]: "target"}
    with Dataset.open(data) as opened:
        assert {who for (who,) in opened._store.rows("SELECT who FROM reviews")} == {"anna"}
    assert json.loads(review(str(data), "--json").stdout) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--decide", "1=maybe"], "write ID=DECISION"),
        (["--decide", "target"], "write ID=DECISION"),
        (["--decide", "999=target"], "no queue item 999"),
    ],
)
def test_a_wrong_decision_is_one_line_and_none_is_recorded(data, options, message):
    done = review(str(data), "--accept", "1", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert labels(data) == {}


def test_an_item_is_decided_once(data):
    review(str(data), "--decide", "1=target", "--by", "anna")
    done = review(str(data), "--decide", "1=ignore", "--by", "ben")
    assert done.returncode == 2
    assert "decided already: 'target' by anna" in done.stderr


def test_pictures_show_the_place_before_at_and_after(data, tmp_path):
    review(str(data), "--picture", str(tmp_path / "pictures"))
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert len(pictures) == 3
    image = cv2.imread(str(pictures[0]))
    assert image.shape[1] == 4 * 48 * 6 + 3 * 6
    at = image[20 : 20 + 288, 294 : 294 + 288]
    assert at[140:152, 140:152].mean() > at.mean() + 60  # the target is in the middle of the second panel


def at_a_terminal(data: Path, keys: str) -> tuple[int, str]:
    """`review --ask` with these keys typed: its exit code, and what is seen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(data), "--ask", "--by", "anna"], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, "".join(f"{key}\n" for key in keys).encode())
    shown = b""
    while True:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:
            break
        if not block:
            break
        shown += block
    return process.wait(60), shown.decode()


def test_a_person_at_a_terminal_is_asked_item_by_item(data):
    code, shown = at_a_terminal(data, "?isq")
    assert code == 0
    assert "▀" in shown
    assert "1 decided by anna" in shown
    assert "2 open" in shown
    assert list(labels(data).values()) == ["interference"]


def without_frames_of_the_best(data: Path) -> Path:
    """Takes the frames of the item with the best score away; returns where they were."""
    best = json.loads(review(str(data), "--json").stdout)[0]
    gone = data / "frames" / f"{best['sequence']}.npy"
    gone.unlink()
    return gone


def test_a_person_is_asked_about_the_others_where_the_frames_of_one_are_gone(data):
    gone = without_frames_of_the_best(data)
    code, shown = at_a_terminal(data, "tt")
    assert code == 2
    assert f"{gone}: the frames" in shown
    assert "2 decided by anna" in shown
    assert "1 open" in shown
    assert list(labels(data).values()) == ["target", "target"]


def test_pictures_are_made_of_the_others_where_the_frames_of_one_are_gone(data, tmp_path):
    gone = without_frames_of_the_best(data)
    done = review(str(data), "--json", "--picture", str(tmp_path / "pictures"))
    assert len(json.loads(done.stdout)) == 3
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{gone}: the frames" in done.stderr


def test_a_person_goes_on_after_a_faster_reviewer_and_after_a_decision_that_cannot_be(data, monkeypatch, capsys):
    """The second item is decided by somebody else while the first one is looked at; the third is a whole frame, which `t` alone does not label."""
    from dataclasses import replace

    from irdim.console import stdout_console
    from irdim_train.commands.review import _ask

    with Dataset.open(data) as opened:
        first, second, third = opened.queue_items("open")
        opened._store.connection.execute("UPDATE queue SET kind = 'sample' WHERE id = ?", (third.id,))
        opened.decide(second.id, "ignore", who="ben", why="faster")
        monkeypatch.setattr(sys, "stdin", io.StringIO("i\nt\nt\na\n"))
        assert _ask(stdout_console(), opened, [first, second, replace(third, kind="sample")], "anna") == []
        made = {i.id: i.decision for i in opened.queue_items("decided")}
    said = capsys.readouterr().out
    assert made == {first.id: "interference", second.id: "ignore", third.id: "accept"}
    assert "decided already: 'ignore' by ben" in said
    assert "a whole frame; mark the target itself" in said
    assert "2 decided by anna" in said


@pytest.mark.parametrize("more", [["--accept", "1"], ["--list"], ["--port", "0"]])
def test_an_unknown_kind_is_refused_before_anything_is_decided_or_served(data, more):
    done = review(str(data), "--kind", "trakc", *more)
    assert done.returncode == 2
    assert "--kind trakc: no item of that kind; there are false_alarm, missed" in done.stderr
    assert labels(data) == {}


def test_the_page_shows_no_number_of_items_that_was_asked_for(data):
    done = review(str(data), "--most", "1", "--port", "0")
    assert done.returncode == 2
    assert "--most 1" in done.stderr
