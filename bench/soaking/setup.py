"""What the daemon of a soak is given: recordings, bundles, a configuration, a small disk for its spool."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from servers import Proxy, Sshd

from irdim_edge.config import STARTER_FOLDER

SYNTH = [sys.executable, "-m", "irdim_train", "synth"]
LONG, SHORT = 3000, 200  # frames of a recording
CYCLES = 80  # times that the recordings are in the list: longer than a run lives


def write_config(work: Path, server: Sshd, proxy: Proxy, *, precision: str, calm: bool) -> Path:
    """The daemon's configuration: suspects in plenty (in a calm soak as many as the usual budgets allow), a small spool, an upload through the proxy."""
    upload = {"url": server.url(work / "depot", proxy.port), "interval": 1.0, "timeout": 3.0}
    upload |= {"known_hosts": str(server.known(port=proxy.port)), "identity": str(server.folder / "user")}
    kinds = ("missed", "false_alarm", "low_confidence", "still", "sample")
    often = {f"{kind}_{what}_per_day".replace("__", "_"): 10**6 for kind in kinds for what in ("", "mb")}
    sections = {
        "camera": {"paths": [str(work / "playlist")], "rate": "flat-out"},
        "suspects": {
            "crop": 32,
            "merge_seconds": 60 if calm else 0,
            "sample_probability": 1e-3,
            **({} if calm else often),
        },
        "spool": {"path": str(work / "spool" / "logs"), "max_mb": 2.0},
        "upload": upload,
    }
    top = {
        "bundle": str(work / "bundle"),
        "precision": precision,
        "threads": 1,
        "out": str(work / "out"),
        "max_mb": 1e5,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path = work / "edge.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def record(work: Path, calm: bool, frames: int) -> list[tuple[str, int]]:
    """Recordings, and a folder in which each is many times; returns name and frames of all of its entries, in order."""
    kinds = {
        "long": ["--size", "160x128", "--frames", str(LONG), "--bits", "14"],
        "large": ["--size", "320x256", "--frames", str(SHORT), "--bits", "14"],
        "bytes": ["--size", "96x80", "--frames", str(SHORT), "--bits", "8"],
        "images": ["--size", "160x128", "--frames", str(SHORT), "--bits", "16"],
    }
    kinds = {"long": kinds["long"]} if calm else kinds
    recordings, playlist = work / "recordings", work / "playlist"
    playlist.mkdir()
    for seed, (name, words) in enumerate(kinds.items()):
        made = work / f"made-{name}"
        shown = [*SYNTH, str(made), "--sequences", "1", "--seed", str(seed), "--snr", "5", "--speed", "1", *words]
        subprocess.run(shown, check=True, stdout=subprocess.DEVNULL)
        stack = next(made.glob("*/frames.npy"))
        recordings.mkdir(exist_ok=True)
        if name == "images":
            (recordings / name).mkdir()
            for i, pixels in enumerate(np.load(stack)):
                cv2.imwrite(str(recordings / name / f"{i:04d}.png"), pixels)
        else:
            stack.rename(recordings / f"{name}.npy")
        shutil.rmtree(made)
    found = []
    for cycle in range(1, (frames or 100_000) // LONG + 2 if calm else CYCLES + 1):
        for name in kinds:
            source = recordings / (name if name == "images" else f"{name}.npy")
            entry = playlist / f"{cycle:04d}-{source.name}"
            entry.symlink_to(source)
            found.append((entry.name.removesuffix(".npy"), LONG if name == "long" else SHORT))
    return sorted(found)


def variant(path: Path, number: int) -> Path:
    """The starter bundle under another digest: its report threshold a little higher."""
    shutil.copytree(STARTER_FOLDER, path)
    description = json.loads((path / "bundle.json").read_text())
    description["model"]["thresholds"]["report"] += 0.01 * number
    (path / "bundle.json").write_text(json.dumps(description))
    return path


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "irdim", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)
