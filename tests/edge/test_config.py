import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from irdim.dataset.schema import FILE
from irdim.errors import InputError
from irdim_edge.config import Config, commented_config, load_config


def written(folder: Path, text: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(text)
    return path


def test_the_printed_default_is_the_default(tmp_path):
    config = load_config(written(tmp_path, commented_config()))
    assert config.tracker == Config().tracker
    assert config.suspects == Config().suspects


def test_every_key_is_explained():
    lines = commented_config().splitlines()
    keys = [i for i, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert len(keys) > 25
    assert all(lines[i - 1].startswith("# ") for i in keys)


def test_options_fill_in_their_keys(tmp_path):
    text = commented_config({"bundle": "b", "camera.paths": ["x y", 'q"u'], "upload.url": "sftp://me@host/logs"})
    config = load_config(written(tmp_path, text))
    assert config.bundle_path == tmp_path / "b"
    assert config.camera.paths == [str(tmp_path / "x y"), str(tmp_path / 'q"u')]
    assert config.upload.url == "sftp://me@host/logs"


@pytest.mark.parametrize(("text", "rate"), [("25", 25.0), ("12.5", 12.5), ('"flat-out"', "flat-out")])
def test_the_rate_is_a_word_or_a_number(tmp_path, text, rate):
    assert load_config(written(tmp_path, f"[camera]\nrate = {text}")).camera.rate == rate


def test_paths_count_from_the_file(tmp_path):
    config = load_config(written(tmp_path, 'out = "o"\n[upload]\nurl = "depot"\n'))
    assert config.out_path == tmp_path / "o"
    assert config.spool_path == tmp_path / "o" / "spool"
    assert config.upload.url == str(tmp_path / "depot")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[camera]\npath = 'x'", "unknown key 'camera.path'; did you mean camera.paths?"),
        ("bundel = 'x'", "unknown key 'bundel'; did you mean bundle?"),
        ("precision = 'int4'", "precision: "),
        ("[spool]\nmax_mb = -1", "spool.max_mb: "),
        ("[suspects]\nafter = 9", "more than tracker.lag 5"),
        (
            "[tracker]\nconfirm_hits = 9",
            "tracker.confirm_hits, 9, is more than tracker.confirm_window, 5; raise that one",
        ),
        ("[camera]\nname = 'a/b'", "camera.name: "),
        ("[camera]\npaths = []", "camera.paths: "),
        ("x = [", "not readable TOML"),
        ("[camera]\nrate = 0", "camera.rate"),
        ("[camera]\nstep = 0", "camera.step: "),
        ("[suspects]\nsample_probability = 2", "suspects.sample_probability: "),
        ("[upload]\nhours = ['22-6']", "22:00-06:00"),
        ("[upload]\nurl = 'sftp://me:hidden@host/x'", "holds a credential"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(tmp_path, text, message):
    with pytest.raises(InputError, match=r"edge\.toml: ") as caught:
        load_config(written(tmp_path, text))
    assert message in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="irdim-edge config prints one"):
        load_config(tmp_path / "none.toml")


EDGE = [sys.executable, "-m", "irdim_edge"]


def config(folder: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([*EDGE, "config", *options], cwd=folder, capture_output=True, text=True, timeout=60)


def recording(path: Path, interval: float) -> None:
    np.save(path, np.zeros((4, 40, 50), np.uint16))
    np.save(path.with_name(f"{path.stem}.times.npy"), np.arange(4) * interval)


def test_what_is_given_is_checked_and_written(small_bundle, tmp_path):
    recording(tmp_path / "clip.npy", 0.04)
    options = [
        "--bundle",
        str(small_bundle),
        "--source",
        "clip.npy",
        "--rate",
        "12.5",
        "--upload",
        "depot",
        "--serve",
        "9464",
    ]
    done = config(tmp_path, *options, "--write", "sub/edge.toml", "--json")
    assert done.returncode == 0, done.stderr
    loaded = load_config(tmp_path / "sub/edge.toml")
    assert (loaded.camera.rate, loaded.camera.paths) == (12.5, [str(tmp_path / "clip.npy")])
    assert (loaded.bundle_path, loaded.upload.url) == (small_bundle, str(tmp_path / "depot"))
    assert loaded.serve.port == 9464
    assert json.loads(done.stdout) == loaded.model_dump()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bundle", "nowhere"], "there is no bundle"),
        (["--source", "nowhere"], "nowhere: there is no such file or folder; --source names recordings"),
        (["--source", "."], "no recording in this folder; --source names recordings"),
        (["--rate", "0"], "error: --rate: must be"),
        (["--step", "0"], "error: --step: "),
        (["--stream", "nowhere"], "--stream 'nowhere'"),
        (["--source", "data"], "data/frames: set --source to that"),
        (["--rate", "fast"], "frames a second above 0"),
        (["--rate", "inf"], "frames a second above 0"),
        (["--serve", "70000"], "error: --serve: "),
        (["--upload", "nosuch://x"], "nosuch"),
        (["--upload", "sftp:///x"], "names no host"),
        (["--upload", "ftp//x/y"], "--upload: must be ftp://x/y, not ftp//x/y"),
        (["--upload", "sftp:/me@x/y"], "--upload: must be sftp://me@x/y"),
        (["--upload", "file:/data/x"], "--upload: must be file:///data/x"),
        (["--upload", "me@x:logs"], "--upload: must be sftp://me@x/logs"),
        (["--upload", "sftp://me:hidden@host/x"], "holds a credential"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--write", "edge.toml"]])
def test_what_is_given_wrongly_is_one_line_and_nothing_is_written(tmp_path, options, message, more):
    (tmp_path / "data" / "frames").mkdir(parents=True)
    (tmp_path / "data" / FILE).touch()
    done = config(tmp_path, *options, *more)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert message in done.stderr
    assert "hidden" not in done.stderr
    assert not (tmp_path / "edge.toml").exists()


def test_a_recording_that_is_too_fast_for_the_bundle_is_refused_with_the_remedy(small_bundle, tmp_path):
    recording(tmp_path / "clip.npy", 0.01)
    options = ["--bundle", str(small_bundle), "--source", "clip.npy"]
    done = config(tmp_path, *options)
    assert done.returncode == 2
    assert "0.01 s between frames, but the bundle was trained for 0.04 s" in done.stderr
    assert "set --step 4" in done.stderr
    assert config(tmp_path, *options, "--step", "4").returncode == 0
    assert "smaller --step" in config(tmp_path, *options, "--step", "9").stderr
