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


def test_a_person_at_a_terminal_is_asked_item_by_item(data):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(data), "--ask", "--by", "anna"], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, b"?\ni\ns\nq\n")
    shown = b""
    while True:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:
            break
        if not block:
            break
        shown += block
    assert process.wait(60) == 0
    assert "▀" in shown.decode()
    assert "1 decided by anna" in shown.decode()
    assert "2 open" in shown.decode()
    assert list(labels(data).values()) == ["interference"]
