"""A comparison trains every cell once, goes on where it was stopped, and says what could not be trained."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irdim.errors import InputError
from irdim_train.comparing import Budget, compare, make_grid, summarise
from irdim_train.comparing.cells import score_patches
from irdim_train.comparing.summary import table
from irdim_train.runs import FitConfig, read_run
from irdim_train.starters import find_starter

BUDGET = Budget(epochs=0.3, batch=16)


def grid(data, backbones=("darknet19",), sizes=(32, 16), inputs=("single",), seeds=(0,), widths=(0.125,)):
    return make_grid([data], backbones, widths, sizes, inputs, [1], [False], seeds)


def test_the_grid_is_every_combination_with_seeds_innermost(small_data):
    cells = grid(small_data, ("darknet19", "mobilenet"), (32, 16), ("single", "difference"), (0, 1))
    assert len(cells) == len({cell.name for cell in cells}) == 16
    assert [cell.seed for cell in cells[:4]] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"backbones": ["vgg"]}, "vgg"), ({"inputs": ["film"]}, "film"), ({"sizes": [32, 20]}, "patch size 20")],
    ids=["backbone", "input", "size"],
)
def test_a_name_that_is_not_known_is_refused_before_training(small_data, wrong, message):
    with pytest.raises(InputError, match=message):
        grid(small_data, **wrong)


def test_the_command_compares_goes_on_and_names_what_failed(small_data, tmp_path):
    command = [
        sys.executable,
        "-m",
        "irdim_train",
        "compare",
        str(small_data),
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    command += ["--backbones", "darknet19", "--widths", "0.125", "--inputs", "single", "--frame-steps", "1"]
    command += ["--sizes", "32,400", "--epochs", "0.3", "--batch", "16", "--seeds", "2", "--register", "no"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert first.returncode == 2
    assert "400" in first.stderr.splitlines()[-1]
    answer = json.loads(first.stdout)
    assert [row["size"] for row in answer["rows"]] == [32]
    assert answer["rows"][0]["seeds"] == 2
    assert len(answer["failed"]) == 2
    assert answer["rows"][0]["mean"]["minutes"] > 0
    assert answer["rows"][0]["mean"]["memory_mb"] > 50
    for name in ("compare.html", "f1.png", "minutes.png"):
        assert (tmp_path / "out" / name).stat().st_size > 1000
    models = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("model.pt")}
    assert len(models) == 2
    begun = time.monotonic()
    again = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert json.loads(again.stdout)["rows"] == answer["rows"]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("model.pt")} == models
    assert time.monotonic() - begun < 60


def test_every_network_begins_at_random_even_where_a_starter_ships(small_data, tmp_path):
    usual = FitConfig().input
    (cell,) = grid(small_data, backbones=("nano",), sizes=(32,), inputs=(usual,), widths=(0.5,))
    assert find_starter("nano", 0.5, usual)
    compare([cell], Budget(epochs=0.01, batch=16), tmp_path)
    assert read_run(tmp_path / "cells" / cell.name / "run")["config"]["start"] is None


def test_another_budget_is_not_mixed_in(small_data, tmp_path):
    cells = grid(small_data, sizes=(32,))
    results, failed = compare(cells, BUDGET, tmp_path)
    assert len(results) == 1
    assert not failed
    _, failed = compare(cells, Budget(epochs=0.5, batch=16), tmp_path)
    assert "another budget" in failed[cells[0].name]


def test_patches_are_scored_by_themselves(small_run, small_patches):
    score = score_patches(small_run, Path(small_patches))
    assert score.f1 > 0.6  # a quarter-width network after a few seconds: 0.67 to 0.86 over three seeds of crop
    assert score.protocol == "centre-3px"
    assert score.frames == json.loads((small_patches / "patches.json").read_text())["val"]


def made_up(size: int, seed: int, f1: float) -> dict:
    score = {"precision": f1, "recall": f1, "f1": f1, "false_alarms_per_frame": 0.5}
    cell = {
        "data": "/d/data",
        "backbone": "darknet19",
        "width": 0.5,
        "input": "single",
        "frame_step": 4,
        "register": True,
    }
    return {
        "cell": {**cell, "size": size, "seed": seed},
        "minutes": 2.0,
        "peak_memory_mb": 300,
        "patches": score,
        "frames": score,
        "frames_best": score,
    }


def test_patches_that_nobody_scored_are_no_zero():
    rows = summarise([{**made_up(80, seed, 0.5), "patches": None} for seed in (0, 1)])
    assert "patches_f1" not in rows[0].means
    shown = table(rows)
    assert dict(zip(shown.heads, shown.rows[0], strict=True))["F1 patch"] == "-"


def test_seeds_become_mean_and_spread():
    rows = summarise([made_up(80, 0, 0.5), made_up(80, 1, 0.6), made_up(16, 0, 0.1)])
    assert [(r.setting["size"], r.seeds) for r in rows] == [(80, 2), (16, 1)]
    assert rows[0].means["frames_f1"] == pytest.approx(0.55)
    assert rows[0].spreads["frames_f1"] == pytest.approx(0.05)
    shown = table(rows)
    assert shown.heads[0] == "size"
    assert "55.00 ± 5.00" in shown.rows[0]
    assert "10.00" in shown.rows[1]
