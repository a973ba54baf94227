import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from rendered import make_data
from typer.testing import CliRunner

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.metrics import CentreDistance
from irdim.sources import Frame
from irdim_train.breakdown import Property, break_down, split_up
from irdim_train.cli import app
from irdim_train.evaluate import Found, evaluate, pooled, score_sequences
from irdim_train.runs import load_model
from irdim_train.target_properties import measure_targets, speeds
from irdim_train.torch_engine import TorchEngine

PROGRAM = Path(sys.executable).parent / "irdim-train"


@pytest.fixture
def call(tmp_path, monkeypatch):
    """irdim-train evaluate WORDS in tmp_path, within this process: torch is imported once."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["evaluate", *map(str, words)])


@pytest.fixture(scope="module")
def evaluated(small_run, small_data):
    """small_run on the training sequences, of which there are four."""
    model, card = load_model(small_run)
    with Dataset.open(small_data) as data:
        yield card, data, evaluate(card, TorchEngine(model), data, split="train")


def test_what_was_found_is_kept_frame_by_frame(evaluated):
    card, data, result = evaluated
    assert list(result.found) == [s.name for s in data.sequences("train")]
    for found in result.found.values():
        assert found.frames.tolist() == list(range(6, 40))  # 3 steps of 2 frames are history
        assert [index for index, _ in found] == found.frames.tolist()
        assert sum(len(ds) for _, ds in found) == len(found.rows) == found.ends[-1]
        assert all(d.score >= card.thresholds.low and d.label == "target" for _, ds in found for d in ds)


def test_sequences_add_up_to_the_whole_under_every_protocol(evaluated):
    _, data, result = evaluated
    assert pooled(result.per_sequence.values(), "centre-3px").at(0.3) == result.metric.at(0.3)
    for protocol in ("centre-3px", "centre-6px", "iou-50", "mask-centroid"):
        score = pooled(score_sequences(result, data, protocol).values(), protocol).at(0.3)
        assert score.protocol == protocol
        assert (score.frames, score.targets) == (4 * 34, result.metric.targets)
        assert score.false_alarms_per_hour == pytest.approx(score.false_positives / (4 * 34 / 25 / 3600))
    again = pooled(score_sequences(result, data, "centre-3px").values(), "centre-3px")
    assert again.curve() == result.metric.curve()


def test_ranges_of_a_property_add_up_to_all_targets(evaluated):
    _, data, result = evaluated
    score = result.metric.at(0.3)
    for ranges in break_down(result, data, 0.3).values():
        assert sum(r.targets for r in ranges) == score.targets
        assert sum(r.found for r in ranges) == score.true_positives
        assert all(r.interval.low is None for r in ranges)  # four sequences are too few


def test_ranges_hold_what_lies_in_them():
    values = np.array([0.5, 1.0, 1.5, 7.0, np.inf, np.nan])
    found = np.array([True, False, True, True, False, True])
    ranges = split_up(Property("p", (1, 2), beyond="alone"), values, found, np.zeros(6, int))
    shown = [(r.name, r.targets, r.found, r.low, r.high) for r in ranges]
    assert shown == [
        ("under 1", 1, 1, None, 1),
        ("1 to 2", 2, 1, 1, 2),
        ("2 and more", 1, 1, 2, None),
        ("alone", 1, 0, None, None),
        ("not known", 1, 1, None, None),
    ]
    assert split_up(Property("p", (1,)), np.zeros(0), np.zeros(0, bool), np.zeros(0, int)) == []


def test_speed_is_that_against_the_background():
    """The camera pans by (0.5, 2) px a frame; one target stands still in the scene, the other moves by 1 px a frame."""
    frames, pan = np.arange(10, 30), np.array([0.5, 2.0])  # dy, dx
    places = [np.array([(20, 20), (60, 60 + 1.0 * i)]) + i * pan[::-1] for i in range(20)]  # x, y
    found = speeds(frames, places, np.tile(pan, (20, 1))).reshape(20, 2)
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-9)
    np.testing.assert_allclose(found[:, 1], 1, atol=1e-9)


def test_speed_is_not_known_where_a_target_is_seen_once_or_after_a_gap():
    one = np.array([(20.0, 20.0)])
    still = np.zeros((3, 2))
    assert np.isnan(speeds(np.array([0, 2, 4]), [one] * 3, still)).all()
    assert np.isnan(speeds(np.array([0, 1, 2]), [one, one + 30, one], still)).all()
    np.testing.assert_array_equal(speeds(np.array([0, 1, 2]), [one, np.zeros((0, 2)), one], still), [np.nan, np.nan])
    assert speeds(np.zeros(0, int), [], np.zeros((0, 2))).size == 0


def test_properties_of_a_rendered_pair(tmp_path):
    """Two blobs 9 px apart on a textured sky that drifts by 1 px a frame to the right, which registration has to find by itself."""
    rng = np.random.default_rng(0)
    sky = cv2.GaussianBlur(rng.normal(0, 400, (64, 140)), (0, 0), 3) + 1000
    y, x = np.mgrid[:64, :96] + 0.5
    frames, boxes = [], {}
    for t in range(12):
        first, second = Box(30.5 + t, 30.5, 3, 3), Box(39.5 + t, 30.5 + 0.5 * t, 4, 9)
        blobs = sum(200 * np.exp(-((x - b.x) ** 2 + (y - b.y) ** 2) / 2) for b in (first, second))
        noisy = sky[:, 30 - t : 126 - t] + blobs + rng.normal(0, 2, (64, 96))
        frames.append(Frame(t, t / 10, np.rint(noisy).astype(np.uint16)))
        boxes[t] = [first, Box(5, 5, 3, 3, "interference"), second]
    with Dataset.create(tmp_path / "data") as data:
        data.add_sequence("s", frames, boxes, split="test", group="s", source="rendered", who="tests", interval=0.1)
        found = Found(data.sequence("s"), np.arange(12), np.zeros(12, int), np.zeros((0, 6)), None, 0)
        measured = {name: values.reshape(12, 2) for name, values in measure_targets(found, data).items()}
    np.testing.assert_allclose(measured["size"], np.tile([3, 6], (12, 1)))
    np.testing.assert_allclose(measured["speed"], np.tile([0, 0.5], (12, 1)), atol=0.05)
    np.testing.assert_allclose(measured["border"][0], [30.5, 30.5])
    np.testing.assert_allclose(measured["separation"][[0, 4]], [[9, 9], [np.hypot(9, 2)] * 2])
    assert (measured["scr"] > 3).all()


@pytest.mark.parametrize("split", ["test", "train"])  # one sequence, and four
def test_a_folder_with_page_plots_and_json(small_run, call, tmp_path, split):
    done = call(small_run, "--split", split, "--out", "eval", "--json")
    assert done.exit_code == 0, done.output
    answer, written = json.loads(done.stdout), json.loads((tmp_path / "eval/evaluation.json").read_text())
    assert (written["format"], written["version"]) == ("irdim-evaluation", 1)
    assert list(written["protocols"]) == ["centre-3px", "iou-50", "mask-centroid"]
    for row in answer["protocols"]:
        assert {k: written["protocols"][row["protocol"]][k] for k in ("f1", "recall", "threshold")} == {
            k: row[k] for k in ("f1", "recall", "threshold")
        }
        assert row["intervals"]["f1"]["low"] is None
    points = written["protocols"]["centre-3px"]["operating_points"]
    assert [p["allowed_false_alarms_per_frame"] for p in points] == [0.01, 0.1, 1.0]
    assert all(p["false_alarms_per_frame"] <= p["allowed_false_alarms_per_frame"] for p in points)
    assert set(written["breakdown"]) == {"scr", "size", "speed", "border", "separation"}
    plots = sorted(p.stem for p in (tmp_path / "eval").glob("*.png"))
    assert plots == sorted(
        ["precision-recall", "false-alarms", "threshold", "fa", "sequences", *(f"by-{n}" for n in written["breakdown"])]
    )
    for plot in (tmp_path / "eval").glob("*.png"):
        image = cv2.imread(str(plot), cv2.IMREAD_UNCHANGED)
        assert image.shape[2] == 3  # opaque: a viewer may be black
        assert (image[0] == 255).all()
        assert image.min() < 100  # and something is drawn
    page = (tmp_path / "eval/report.html").read_text()
    assert "too few" in page
    assert "centre-3px" in page


def test_an_older_evaluation_is_replaced_and_nothing_else_is(small_run, call, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    done = call(small_run, "--out", "mine")
    assert isinstance(done.exception, InputError)
    assert "choose another --out" in str(done.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval/evaluation.json").write_text('{"format": "irdim-evaluation"}')
    done = call(small_run, "--out", "eval")
    assert done.exit_code == 0, done.output
    assert "next: open eval/report.html" in done.stdout
    assert (tmp_path / "eval/report.html").exists()
    assert call(small_run, "--out", "eval").exit_code == 0  # all of it is its own
    (tmp_path / "eval/.report.html.x.tmp").touch()  # and what a kill left
    assert call(small_run, "--out", "eval").exit_code == 0
    (tmp_path / "eval/notes.md").write_text("dear")
    done = call(small_run, "--out", "eval")
    assert "notes.md in it is not of irdim" in str(done.exception)
    assert (tmp_path / "eval/notes.md").read_text() == "dear"


def test_protocols_are_asked_for_by_name(small_run, call, tmp_path):
    words = ("--protocol", "iou-30", "--protocol", "mask-centroid", "--protocol", "centre-3px", "--radius", 6, "--json")
    rows = json.loads(call(small_run, *words).stdout)["protocols"]
    assert [r["protocol"] for r in rows] == ["centre-6px", "iou-30", "mask-centroid", "centre-3px"]
    assert ["false_alarm_pixels_per_pixel" in r for r in rows] == [False, False, True, False]
    for wrong in (("--protocol", "iou"), ("--radius", "nan"), ("--radius", "1e9")):  # before anything is run
        done = call("nowhere", *wrong)
        assert isinstance(done.exception, InputError)
        assert "choose centre-Rpx" in str(done.exception)


def test_five_sequences_have_an_interval(small_run, call, tmp_path):
    data = make_data(tmp_path / "data", sequences=7)
    answer = json.loads(call(small_run, "--data", data, "--split", "train", "--json").stdout)
    interval = answer["intervals"]["f1"]
    assert interval["sequences"] == 5
    assert interval["low"] <= answer["f1"] <= interval["high"]


def test_a_split_without_targets_is_reported_too(small_run, call, tmp_path):
    frames = [Frame(t, t / 25, np.random.default_rng(t).integers(980, 1020, (96, 120)).astype("u2")) for t in range(12)]
    with Dataset.create(tmp_path / "data") as data:
        data.add_sequence("empty", frames, {}, split="test", group="e", source="noise", who="tests")
    done = call(small_run, "--data", "data", "--out", "eval", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["targets"], answer["f1"], answer["false_alarms_per_hour"]) == (0, 0, None)
    assert "not known" in (tmp_path / "eval/report.html").read_text()


def test_ctrl_c_leaves_nothing_and_ends_soon(small_run, tmp_path):
    frames = np.random.default_rng(0).integers(980, 1020, (400, 384, 384)).astype("u2")
    with Dataset.create(tmp_path / "data") as data:
        data.add_sequence(
            "long",
            [Frame(t, t / 25, f) for t, f in enumerate(frames)],
            {},
            split="test",
            group="l",
            source="n",
            who="t",
        )
    words = [str(PROGRAM), "evaluate", str(small_run), "--data", "data", "--out", "eval"]
    process = subprocess.Popen(
        words,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".eval.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert process.wait(60) == 130
    assert time.monotonic() - begun < 10
    assert "Traceback" not in process.stderr.read()
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_memory_is_48_bytes_a_detection(evaluated):
    _, _, result = evaluated
    assert all(found.rows.nbytes == 48 * len(found.rows) for found in result.found.values())
    assert isinstance(result.metric, CentreDistance)
