"""An import killed at any moment can be run again, and ends with what an undisturbed one gives."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from irdim.dataset import Dataset

_RUN = """
import sys, typer
from irdim_train.commands.import_ import command
typer.run(command)
"""
CLIPS = 8


def recordings(root: Path) -> Path:
    """Sequences large enough that a kill can hit the middle of one."""
    for number in range(CLIPS):
        folder = root / f"CLIP_{number}"
        folder.mkdir(parents=True)
        np.save(
            folder / "frames.npy", np.random.default_rng(number).integers(0, 4000, (60, 256, 320)).astype(np.uint16)
        )
        rows = "".join(f"{t},DRONE,{10 + t},{20 + number},3,3\n" for t in range(60))
        (folder / "boxes.csv").write_text("frame,label,x,y,width,height\n" + rows)
    return root


def start(source: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(source), "--out", str(out), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def contents(out: Path) -> dict:
    with Dataset.open(out) as data:
        data.check_splits()
        return {
            s.name: (
                s.split,
                s.digest,
                data.frames(s).tobytes(),
                data.times(s).tobytes(),
                [(f, b.x, b.y, b.w, b.h, b.label) for f, of in data.boxes(s).items() for b in of],
            )
            for s in data.sequences()
        }


def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path) -> None:
    source, draw = recordings(tmp_path / "in"), random.Random(0)
    began = time.monotonic()
    undisturbed = start(source, tmp_path / "whole")
    while not (tmp_path / "whole" / "dataset.sqlite").exists():
        time.sleep(0.002)
        assert undisturbed.poll() is None
    start_up = time.monotonic() - began
    undisturbed.communicate(timeout=120)
    assert undisturbed.returncode == 0
    took = time.monotonic() - began - start_up
    expected = contents(tmp_path / "whole")
    assert len(expected) == CLIPS

    out, kills, seen = tmp_path / "killed", 0, set()
    for attempt in range(9):
        process = start(source, out)
        if attempt < 2:  # while the process starts and the data set is made
            end = time.monotonic() + draw.uniform(0.5, 1.1) * start_up
            while time.monotonic() < end and not (out / "dataset.sqlite").exists():
                time.sleep(0.0005)
        else:  # while frames are written, renamed and recorded, or the next ones are begun
            while process.poll() is None and not list(out.glob("frames/.*.tmp")):
                time.sleep(0.0005)
            time.sleep(draw.uniform(0, 1.5 * took / CLIPS))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if not (out / "dataset.sqlite").exists() or (out / "dataset.sqlite").stat().st_size == 0:
            continue
        with Dataset.create(out, exist_ok=True) as data:  # what is there is whole, at any moment
            seen.add(len(data.sequences()))
            for sequence in data.sequences():
                assert data.frames(sequence).tobytes() == expected[sequence.name][2]
                assert sum(map(len, data.boxes(sequence).values())) == 60
    last = start(source, out)
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    assert contents(out) == expected
    assert sorted(p.name for p in (out / "frames").iterdir()) == [f"CLIP_{n}.npy" for n in range(CLIPS)]
    assert kills >= 5
    assert seen - {CLIPS}, "no kill hit an import that was under way"
