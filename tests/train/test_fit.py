import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim.patches import Patches
from irdim.sources import Frame
from irdim_train import runs
from irdim_train.choose_threshold import threshold_between
from irdim_train.cli import app
from irdim_train.devices import choose_device
from irdim_train.evaluate import evaluate, rescore
from irdim_train.fit import fit
from irdim_train.model import GridDetector
from irdim_train.runs import FitConfig, load_model, load_tensors, read_run
from irdim_train.staging import held_folder
from irdim_train.torch_engine import TorchEngine

CONFIG = FitConfig(width=0.125, epochs=3, batch=16)


def weights(run):
    return load_tensors(run / "model.pt")


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def test_the_run_finds_the_targets_of_other_scenes(small_run, small_data):
    model, card = load_model(small_run)
    with Dataset.open(small_data) as data:
        result = evaluate(card, TorchEngine(model), data, split="test")
        wider = rescore(result, data, 6)
    assert result.metric.at(card.thresholds.report).f1 > 0.8
    assert result.warming == 6  # 3 steps of 2 frames
    assert wider.at(card.thresholds.report).true_positives >= result.metric.at(card.thresholds.report).true_positives


def test_same_seed_same_weights(small_patches, tmp_path):
    patches = Patches.open(small_patches)
    for name in ("a", "b"):
        fit(patches, tmp_path / name, CONFIG)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_kill_9_and_resume_end_in_the_same_weights_and_losses(small_patches, tmp_path):
    code = (
        "import sys; from pathlib import Path; import torch; import irdim_train.fit as f; import irdim_train.training as t;"
        "from irdim.patches import Patches; from irdim_train.runs import FitConfig;"
        "t.CHECKPOINT_SECONDS = 0.0; torch.set_num_threads(1);"
        "f.fit(Patches.open(Path(sys.argv[1])), Path(sys.argv[2]), FitConfig(width=0.125, epochs=6, batch=16))"
    )
    command = [sys.executable, "-c", code, str(small_patches)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "whole")], check=True, env=environment)
    process = subprocess.Popen([*command, str(tmp_path / "killed")], env=environment)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        course = tmp_path / "killed" / "checkpoint.pt"
        if course.exists():
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    assert process.wait() == -signal.SIGKILL
    left = load_tensors(tmp_path / "killed" / "checkpoint.pt")
    assert 0 < left["step"] < left["total"]
    subprocess.run([*command, str(tmp_path / "killed")], check=True, env=environment)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    courses = [(tmp_path / name / "history.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    whole, killed = ([(row["step"], row["loss"]) for row in map(json.loads, lines)] for lines in courses)
    assert whole == killed  # the mean of an epoch is over all of its steps, before the kill and after


def test_a_budget_in_minutes_is_kept(small_patches, tmp_path):
    config = FitConfig(width=0.125, minutes=0.05, batch=16)
    result = fit(Patches.open(small_patches), tmp_path / "run", config)
    assert 1 < result["seconds"] < 12


def test_another_config_in_the_same_folder_is_refused(small_patches, tmp_path):
    patches = Patches.open(small_patches)
    fit(patches, tmp_path / "run", FitConfig(width=0.125, epochs=0.1, batch=16))
    with pytest.raises(InputError, match="other options"):
        fit(patches, tmp_path / "run", FitConfig(width=0.25, epochs=0.1, batch=16))


@pytest.mark.parametrize(
    ("name", "message"),
    [("meta", "not known"), ("mps", "not known"), ("gpu", "not known"), ("cuda:99", "finds no CUDA|there are .* GPUs")],
)
def test_a_device_that_is_not_there_is_one_line(name, message):
    with pytest.raises(InputError, match=message):
        choose_device(name)


def test_a_second_one_in_the_same_folder_leaves_the_first_alone(small_patches, tmp_path):
    patches = Patches.open(small_patches)
    fit(patches, tmp_path / "run", CONFIG)
    being_written = tmp_path / "run" / ".checkpoint.pt.x.tmp"
    being_written.touch()
    with held_folder(tmp_path / "run", ""), pytest.raises(InputError, match="another irdim-train fit writes here"):
        fit(patches, tmp_path / "run", CONFIG)
    assert being_written.exists()
    fit(patches, tmp_path / "run", CONFIG)  # of a kill, since nobody holds the folder
    assert not being_written.exists()


def test_a_loss_that_is_not_finite_stops_and_names_the_patches(small_patches, tmp_path):

    broken = tmp_path / "patches"
    shutil.copytree(small_patches, broken)
    table = np.load(broken / "table.npy")
    table["sigma_difference"][7] = np.nan
    np.save(broken / "table.npy", table)
    with pytest.raises(
        InputError, match=r"the loss is not finite \(patch 7 is not finite\); the last good checkpoint is"
    ):
        fit(Patches.open(broken), tmp_path / "run", dataclasses.replace(CONFIG, augment=False))
    table["sigma_difference"][:] = np.nan
    np.save(broken / "table.npy", table)
    with pytest.raises(InputError, match=r"step 0: the loss is not finite \(patch \d+, .* and 11 more is not finite\)"):
        fit(Patches.open(broken), tmp_path / "again", CONFIG)


def test_too_large_a_batch_says_which_one_fits(small_patches, tmp_path):
    code = """
import resource, sys
from pathlib import Path
import torch
from irdim.patches import Patches
from irdim_train.fit import fit
from irdim_train.runs import FitConfig
torch.set_num_threads(1)
patches = Patches.open(Path(sys.argv[1]))
fit(patches, Path(sys.argv[2]) / "small", FitConfig(width=0.125, epochs=0.01, batch=2))  # all libraries are loaded now
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (90 << 20),) * 2)
fit(patches, Path(sys.argv[2]) / "large", FitConfig(width=2, epochs=1, batch=64))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(small_patches), str(tmp_path)], capture_output=True, text=True
    )
    assert re.search(
        r"InputError: step \d: out of memory with a batch of 64; --batch (1|2|4|8|16|32) fits", done.stderr
    ), done.stderr


def test_a_run_without_a_model_says_how_to_go_on(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"format": "irdim-run", "version": 1, "config": {}, "model": None}))
    with pytest.raises(InputError, match="no checkpoint; train it with"):
        load_model(run)


def test_pickled_code_in_a_checkpoint_is_not_run(tmp_path):
    import pickle

    class Attack:
        def __reduce__(self):
            return (os.system, ("touch " + str(tmp_path / "ran"),))

    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Attack()))
    with pytest.raises(InputError, match="unreadable checkpoint"):
        load_tensors(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("width", [0.125, 0.5])
def test_weights_learnt_on_patches_run_on_whole_frames(width):
    model = GridDetector("darknet19", 4, width).eval()
    assert model(torch.zeros(1, 4, 80, 80)).shape == (1, 7, 10, 10)
    assert model(torch.zeros(1, 4, 512, 640)).shape == (1, 7, 64, 80)


def test_width_one_is_darknet_19_up_to_stride_8():
    convolutions = [m for m in GridDetector("darknet19", 3, 1.0).backbone if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [32, 64, 128, 64, 128, 256, 128, 256]


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [([0.9, 0.95, 0.8999], 0.89995), ([0.2, 0.9], 0.899), ([0.9], 0.899), ([0.9, 0.9], 0.899), ([], 0.899)],
)
def test_a_threshold_lies_below_the_weakest_score_that_is_reported(scores, threshold):
    assert threshold_between(0.9, np.array(scores)) == pytest.approx(threshold, abs=1e-9)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_a_checkpoint_that_goes_on(small_patches, tmp_path, stop):
    """The real command, a real signal, a whole checkpoint; meanwhile nobody else may train there; then --resume goes on after it."""
    from pathlib import Path

    command = [
        str(Path(sys.executable).parent / "irdim-train"),
        "fit",
        str(small_patches),
        "--out",
        str(tmp_path / "run"),
    ]
    command += ["--width", "0.125", "--batch", "16", "--epochs", "200"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for line in process.stderr:
        if "fit: step" in line:
            second = subprocess.run(command, capture_output=True, text=True)
            assert (second.returncode, second.stderr.count("\n")) == (2, 1)
            assert "another irdim-train fit writes here" in second.stderr
            process.send_signal(stop)
            break
    rest = process.stderr.read()
    assert process.wait() == 130
    assert "Traceback" not in rest
    saved = load_tensors(tmp_path / "run" / "checkpoint.pt")
    assert 0 < saved["step"] < saved["total"]
    again = [command[0], "fit", "--resume", str(tmp_path / "run")]
    process = subprocess.Popen(again, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    first = next(line for line in process.stderr if "fit: step" in line)
    process.kill()
    process.wait()
    assert int(first.split()[2]) > saved["step"]


def test_a_stop_before_the_first_step_says_how_to_begin_again(small_patches, tmp_path, monkeypatch):
    def stopped(*given):
        raise KeyboardInterrupt

    out, arguments = tmp_path / "run", ["--width", "0.125", "--batch", "16", "--epochs", "1"]
    with monkeypatch.context() as patched:
        patched.setattr("irdim_train.fit.train", stopped)
        said = CliRunner().invoke(app, ["fit", str(small_patches), "--out", str(out), *arguments])
    assert said.exit_code == 130
    assert f"stopped before its first checkpoint; irdim-train fit --resume {out} begins again" in said.stderr
    again = CliRunner().invoke(app, ["fit", "--resume", str(out)], catch_exceptions=False)
    assert again.exit_code == 0, again.stderr
    assert (out / "model.pt").is_file()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "--batch 0"),
        ({"epochs": 0}, "--epochs 0"),
        ({"minutes": -1}, "--minutes -1"),
        ({"learning_rate": 0}, "--learning-rate 0"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(wrong, message):
    with pytest.raises(InputError, match=message):
        FitConfig(**wrong)


def test_too_large_a_batch_leaves_nothing_that_blocks_the_next_try(small_patches, tmp_path):
    patches = Patches.open(small_patches)
    with pytest.raises(InputError, match="fewer than a batch of 9999"):
        fit(patches, tmp_path / "run", FitConfig(batch=9999))
    assert not (tmp_path / "run").exists()


def stopped_at(run, patches, config, share):
    """A run with about this share of its steps."""
    asked = []

    def stop(step, total, loss):
        if step >= share * total and not asked:
            asked.append(step)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        fit(patches, run, config, progress=stop)


def test_whole_frames_are_those_of_the_patches_as_they_were(tmp_path):
    from rendered import make_data, render_sequence

    from irdim_train.crop import crop

    config = FitConfig(width=0.125, epochs=1, least_steps=20, batch=16, whole=0.5)
    make_data(tmp_path / "data", 3)
    with Dataset.open(tmp_path / "data") as data:
        crop(data, tmp_path / "patches", size=32, frame_step=1, register=False)
        patches = Patches.open(tmp_path / "patches")
        stopped_at(tmp_path / "run", patches, config, 0.2)
        shutil.copytree(tmp_path / "run", tmp_path / "early")
        stopped_at(tmp_path / "run", patches, config, 0.8)
        shutil.copytree(tmp_path / "run", tmp_path / "late")
        began = read_run(tmp_path / "run")["frames_digest"]
        fit(patches, tmp_path / "run", config)
        frames = [Frame(t, t / 25, f) for t, f in enumerate(render_sequence(9)[0])]
        data.add_sequence("later", frames, {}, split="train", group="later", source="rendered", who="tests")
        fit(patches, tmp_path / "run", config)  # what came after the crop is not read
        box = data.boxes(data.sequence("seq0"))[20][0]
        data.supersede(box.id, None, who="tests", why="none there")
    with pytest.raises(InputError, match=r"labels or frames of .* have changed since the run began to read"):
        fit(patches, tmp_path / "late", config)
    assert fit(patches, tmp_path / "early", config)["frames_digest"] != began  # none was read yet
    assert fit(patches, tmp_path / "run", config)["frames_digest"] == began  # all were


def test_corrected_boxes_make_other_patches(small_patches, tmp_path):
    """A run must not resume on patches whose labels have changed, however equal their counts."""
    from rendered import make_data

    from irdim_train.crop import crop

    digests = []
    for name in ("before", "after"):
        make_data(tmp_path / name, 3)
        with Dataset.open(tmp_path / name) as data:
            if name == "after":
                boxes = data.boxes(data.sequence("seq0"))
                box = boxes[20][0]
                moved = type(box)(box.x + 2, box.y, box.w, box.h, box.label, box.id)
                data.supersede(box.id, moved, who="tests", why="badly placed")
            digests.append(crop(data, tmp_path / f"{name}-p", size=32, frame_step=1, register=False)["digest"])
    assert digests[0] != digests[1]


@pytest.mark.parametrize(("options", "steps"), [([], 30), (["--epochs", "0.5"], None)])
def test_few_patches_are_trained_on_for_long_enough(small_patches, tmp_path, monkeypatch, options, steps):
    monkeypatch.setattr(runs, "EPOCHS", 0.5)
    monkeypatch.setattr(runs, "LEAST_STEPS", 30)
    words = ["fit", str(small_patches), "--width", "0.125", "--batch", "16", "--whole-frames", "0", *options, "--json"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "run")], catch_exceptions=False)
    half_an_epoch = len(Patches.open(small_patches).rows("train")) // 16 / 2
    assert half_an_epoch < 28
    assert json.loads(done.stdout)["steps"] == (steps or round(half_an_epoch))


def test_a_resumed_run_takes_no_other_options(tmp_path):
    words = ["fit", "patches", "--resume", str(tmp_path), "--from", "starter", "--lay-over", "0.2", "--no-augment"]
    with pytest.raises(InputError, match=r"leave out --from, --lay-over, --no-augment, PATCHES$"):
        CliRunner().invoke(app, words, catch_exceptions=False)
