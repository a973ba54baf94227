"""The bundle that comes with irdim: it is small, sound, and finds something before anybody has trained."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from rendered import render_sequence

from irdim.bundle import Bundle
from irdim_edge.config import STARTER_FOLDER, commented_config, load_config
from irdim_edge.daemon import run


def test_it_is_under_2_megabytes_and_asks_for_no_frame_rate():
    bundle = Bundle.load(STARTER_FOLDER)
    assert sum(path.stat().st_size for path in STARTER_FOLDER.iterdir()) < 2e6
    assert bundle.card.interval is None
    assert len(bundle.samples()) > 0


@pytest.mark.parametrize("named", [{}, {"bundle": "starter"}])
def test_a_configuration_runs_it_by_default(tmp_path, named):
    frames, _ = render_sequence(1)
    np.save(tmp_path / "clip.npy", frames)
    path = tmp_path / "edge.toml"
    path.write_text(commented_config({**named, "camera.paths": ["clip.npy"], "camera.rate": "flat-out", "threads": 1}))
    config = load_config(path)
    assert config.bundle_path == STARTER_FOLDER
    summary = run(config, threading.Event())
    assert summary.frames == 40
    assert summary.tracks >= 1
    (tmp_path / "starter").mkdir()  # a folder of that name is the user's own
    assert load_config(path).bundle_path == tmp_path / "starter"


def test_without_a_compiler_the_daemon_says_once_that_it_is_slow(tmp_path):
    frames, _ = render_sequence(1)
    np.save(tmp_path / "clip.npy", frames)
    path = tmp_path / "edge.toml"
    path.write_text(commented_config({"camera.paths": ["clip.npy"], "camera.rate": "flat-out", "threads": 1}))
    bare = {k: v for k, v in os.environ.items() if k != "CC"} | {"PATH": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "irdim_edge", "run", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=bare)
    assert json.loads(done.stdout)["frames"] == 40
    (said,) = [line for line in done.stderr.splitlines() if "NumPy" in line]
    assert "WARNING the input step runs in NumPy, which takes more than twice as long: there is no C compiler" in said
