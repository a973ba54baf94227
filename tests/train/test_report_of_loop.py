"""irdim-train report on data sets that were fed by real field logs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from field import BUNDLE, field_log, make_signer, sampled_frame, tally_file

from irdim.boxes import Box
from irdim.dataset import Dataset
from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.sources import Frame
from irdim_train.ingesting import ingest
from irdim_train.reporting import state_of_loop
from irdim_train.reporting.drift import compare, training_histograms
from irdim_train.reporting.page import write_page


def imported(data: Dataset, sigma: float = 10.0, level: float = 1000.0, count: int = 6) -> None:
    """Training sequences of noise of `sigma` counts a frame, on levels 3 % up and down."""
    for k in range(count):
        pixels = (
            np.random.default_rng(k)
            .normal(level * (0.97 + 0.06 * k / count), sigma, (20, 40, 40))
            .round()
            .astype(np.uint16)
        )
        frames = [Frame(i, i / 25, p) for i, p in enumerate(pixels)]
        data.add_sequence(f"clip-{k}", frames, {}, split="train", group=f"g{k}", source="x", who="anna")


@pytest.fixture
def data(tmp_path: Path):
    with Dataset.create(tmp_path / "data") as opened:
        imported(opened)
        yield opened


def fill(data: Dataset, depot: Path) -> None:
    """A day of one device: suspects, a sample of 40 frames, two tallies; all of it reviewed but one suspect."""
    signer = make_signer(depot.parent)
    data.add_device("mast-3", signer.device_key, who="anna")
    for seed in range(12):
        field_log(depot, seed, kind="missed" if seed % 2 else "false_alarm", signer=signer)
    for seed in range(40):
        reported = [(24.0, 24.0, 0.9)] if seed % 4 else [(5.0, 5.0, 0.8)]  # every fourth: missed, and a false alarm
        sampled_frame(depot, 100 + seed, reported, signer=signer)
    tally_file(depot, signer=signer)
    tally_file(depot, hour=1, signer=signer)
    (depot / f"20260304T050607089Z-missed-{'0' * 16}.irlog").write_bytes(b"junk")
    result = ingest(data, str(depot))
    assert len(result.added) == 54
    sequences = {s.id: s for s in data.sequences()}
    items = data.queue_items()
    for item in items:
        if item.kind == "sample":
            data.add_box(sequences[item.sequence_id], item.frame, Box(25, 24, 3, 3), who="anna", why="seen")
            data.decide(item.id, "accept", who="anna", why="complete")
    suspects = [i for i in items if i.kind != "sample"]
    for item in suspects[1:]:
        data.decide(item.id, "accept" if item.kind == "missed" else "reject", who="anna", why="seen")


def test_each_figure_is_what_was_counted(data, tmp_path):
    fill(data, tmp_path / "depot")
    (row,) = state_of_loop(data).rows
    assert (row.iteration, row.device, row.bundle, row.known) == (0, "mast-3", BUNDLE, True)
    assert (row.frames, row.judged, row.detections, row.tracks, row.seconds) == (180_000, 179_940, 80, 6, 7200)
    missed, wrong = row.suspects["missed"], row.suspects["false_alarm"]
    assert dict(missed.counted) == {"logged": 10, "merged": 4, "over_budget": 2, "evicted": 2}
    assert (missed.arrived, wrong.arrived) == (6, 6)
    assert missed.confirmed + wrong.denied == 11
    assert (missed.denied, wrong.confirmed, missed.open + wrong.open) == (0, 0, 1)
    assert (row.misses.value, row.misses.of) == (0.25, "40 targets on 40 frames")
    assert row.misses.low < 0.25 < row.misses.high
    assert row.false_alarms.value == 0.25


def test_what_was_not_looked_at_is_too_few_to_say(data, tmp_path):
    sampled_frame(tmp_path / "depot", 1, [])
    ingest(data, str(tmp_path / "depot"))
    (row,) = state_of_loop(data).rows
    assert "too few to say" in row.misses.text
    assert "too few to say" in row.false_alarms.text
    assert row.drift == []


def test_rows_are_apart_by_iteration_device_and_bundle(data, tmp_path):
    tally_file(tmp_path / "depot", frames=100)
    ingest(data, str(tmp_path / "depot"))
    data.begin_iteration("next")
    tally_file(tmp_path / "depot", frames=200)
    tally_file(tmp_path / "depot", frames=300, device="mast-4")
    tally_file(tmp_path / "depot", frames=400, bundle="cd" * 32)
    ingest(data, str(tmp_path / "depot"))
    rows = [(r.iteration, r.device, r.bundle[:2], r.frames) for r in state_of_loop(data).rows]
    assert rows == [
        (0, "mast-3", "ab", 100),
        (1, "mast-3", "ab", 200),
        (1, "mast-3", "cd", 400),
        (1, "mast-4", "ab", 300),
    ]


def test_a_suspect_that_two_devices_logged_is_asked_once_and_counts_for_both(data, tmp_path):
    depot = tmp_path / "depot"
    for device in ("mast-3", "mast-4"):
        field_log(depot, 1, context={"device": device})
        sampled_frame(depot, 2, [(24.0, 24.0, 0.9)] if device == "mast-3" else [], context={"device": device})
    field_log(depot, 1, minute=30)  # mast-3 again, in a log of its own
    ingest(data, str(depot))
    missed, sample = sorted(data.queue_items(), key=lambda item: item.kind)
    data.decide(missed.id, "accept", who="anna", why="seen")
    sampled = next(s for s in data.sequences() if s.id == sample.sequence_id)
    data.add_box(sampled, sample.frame, Box(25, 24, 3, 3), who="anna", why="seen")
    data.decide(sample.id, "accept", who="anna", why="complete")
    rows = state_of_loop(data).rows
    assert [r.device for r in rows] == ["mast-3", "mast-4"]
    assert [r.suspects["missed"].arrived for r in rows] == [2, 1]
    assert [(r.suspects["missed"].confirmed, r.suspects["missed"].open) for r in rows] == [(1, 0), (1, 0)]
    assert [[one.missed for one in r.sampled] for r in rows] == [[0], [1]]


def test_frames_that_were_drawn_and_not_kept_are_told(data, tmp_path):
    suspects = {"sample": {"logged": 10, "over_budget": 3, "evicted": 1, "merged": 0}}
    tally_file(tmp_path / "depot", suspects=suspects)
    ingest(data, str(tmp_path / "depot"))
    (row,) = state_of_loop(data).rows
    assert row.bounded == 4


@pytest.mark.parametrize(("sigma", "level", "verdicts"), [(14.1, 1000, "none"), (28.0, 4000, "large")])
def test_a_drift_of_noise_and_level_shows_and_none_does_not(tmp_path, sigma, level, verdicts):
    with Dataset.create(tmp_path / "data") as data:
        imported(data, count=20)
        tally_file(tmp_path / "depot", sigma=sigma, level=level)
        ingest(data, str(tmp_path / "depot"))
        (row,) = state_of_loop(data).rows
        found = {d.name: d for d in row.drift}
        assert found["level"].verdict == verdicts
        assert (found["sigma_difference"].verdict == "large") == (verdicts == "large")
        assert found["level"].field_median == pytest.approx(level, rel=0.1)


def test_the_training_data_are_measured_without_what_the_field_sent(data, tmp_path):
    before = training_histograms(data, InputSpec("sequence"))
    assert all(counts.sum() == 48 for counts in before.values())
    for seed in range(5):
        field_log(tmp_path / "depot", seed)
    ingest(data, str(tmp_path / "depot"))
    after = training_histograms(data, InputSpec("sequence"))
    assert all(np.array_equal(before[name], after[name]) for name in before)
    edges = compare("sigma_difference", before["sigma_difference"], {"edges": [0, 1], "counts": [50]})
    assert (edges.psi, edges.verdict) == (None, "too few to say")


def test_an_empty_data_set_says_what_to_do(data):
    with pytest.raises(InputError, match="irdim-train ingest URL"):
        state_of_loop(data)


RUN = """
import sys, typer
from irdim_train.commands.report import command
from irdim.command_line import run_command
app = typer.Typer()
app.command()(command)
run_command(app)
"""


def test_the_command_prints_json_and_writes_a_page_that_needs_nothing_else(data, tmp_path):
    fill(data, tmp_path / "depot")
    page = tmp_path / "loop.html"
    command = [sys.executable, "-c", RUN, str(tmp_path / "data"), "--html", str(page)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["miss_rate"]["value"] == 0.25
    assert [d["name"] for d in row["drift"]] == ["sigma_difference", "sigma_frame", "level"]
    text = page.read_text()
    assert text.count("<img") >= 5
    assert "http" not in text
    assert "not a readable zip" in text or "digest is not the one" in text
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert "0.25 (" in shown
    assert f"wrote {page}" in shown.replace("\n", "")


def test_what_devices_say_never_becomes_markup(data, tmp_path):
    field_log(tmp_path / "depot", 1, context={"device": "<script>alert(1)</script>"})
    ingest(data, str(tmp_path / "depot"))
    write_page(state_of_loop(data), tmp_path / "loop.html", tmp_path / "data")
    assert "<script>" not in (tmp_path / "loop.html").read_text()
