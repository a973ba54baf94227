import json
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def call(*words, cwd):
    return subprocess.run(
        [str(BIN / words[0]), *map(str, words[1:])], cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("program", ["irdim-train", "irdim-export", "irdim-edge"])
def test_help_works(program, tmp_path):
    done = call(program, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("irdim-train", "crop", "nowhere"), "nowhere"),
        (("irdim-train", "fit", "nowhere"), "there is no patch file"),
        (("irdim-train", "fit"), "name a patch file"),
        (("irdim-train", "fit", "--resume", "nowhere"), "there is no run"),
        (("irdim-train", "evaluate", "nowhere"), "there is no run"),
        (("irdim-export", "nowhere", "--int8"), "there is no run"),
        (("irdim-export", "--int8"), "no finished run"),
        (("irdim-export", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, message, tmp_path):
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_evaluate_answers_in_json_for_a_run_and_a_bundle(small_run, small_bundle, small_data, tmp_path):
    run = call("irdim-train", "evaluate", small_run, "--radius", 3, "--radius", 6, "--json", cwd=tmp_path)
    answer = json.loads(run.stdout)
    assert [p["protocol"] for p in answer["protocols"]] == ["centre-3px", "centre-6px"]
    assert answer["f1"] == answer["protocols"][0]["f1"] > 0.8
    words = (
        "irdim-train",
        "evaluate",
        small_bundle,
        "--precision",
        "fp32",
        "--data",
        small_data,
        "--detections",
        "d.jsonl",
        "--json",
    )
    bundle = json.loads(call(*words, cwd=tmp_path).stdout)
    assert bundle["f1"] == answer["f1"]
    lines = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert len(lines) == bundle["frames"]
    assert all(d["score"] >= bundle["threshold"] for line in lines for d in line["detections"])


def test_a_file_instead_of_its_folder_is_one_line(small_run, small_bundle, small_patches, tmp_path):
    for words in (
        ("irdim-train", "evaluate", small_run / "model.pt"),
        ("irdim-edge", "inspect", small_bundle / "bundle.json"),
        ("irdim-train", "fit", small_patches / "patches.json"),
    ):
        done = call(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert "name the folder" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_threshold_of_ones_own_is_measured(small_run, tmp_path):
    low = json.loads(call("irdim-train", "evaluate", small_run, "--threshold", 0.03, "--json", cwd=tmp_path).stdout)
    high = json.loads(call("irdim-train", "evaluate", small_run, "--json", cwd=tmp_path).stdout)
    assert low["false_positives"] > high["false_positives"]
    assert call("irdim-train", "evaluate", small_run, "--threshold", 2, cwd=tmp_path).returncode == 2


def test_a_bundle_needs_a_data_set_to_be_scored_on(small_bundle, tmp_path):
    done = call("irdim-train", "evaluate", small_bundle, cwd=tmp_path)
    assert done.returncode == 2
    assert "name one with --data" in done.stderr
