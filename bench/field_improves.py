"""From field logs to a better detector: a device sees a sky that the training never had, and sends back what it suspects.

    python bench/field_improves.py [--out field-improves] [--epochs 12]

All by the commands that a user types, on generated sequences. A network is trained under clear skies; the daemon runs it under broken
clouds and uploads its suspects; they are ingested, and an oracle decides each as the truth has it, one box a question, as a reviewer would;
the network goes on with them. Beside it the same network goes on for as many epochs without them. Scored are other sequences of the clouded
sky. Then the new bundle is put under a running daemon's feet.
"""

import argparse
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
from commands import BIN, call

from irdim.boxes import TARGET, Box
from irdim.dataset import Dataset, QueueItem
from irdim_edge.config import commented_config

SIZE = ("--size", "160x128", "--polarity", "hot", "--speed", 1, "--targets", 2)
CLEAR = ("--snr", 7, "--clouds", 4, "--edges", "soft", "--knots", 0, "--bad-pixels", 0, "--seed", 11)
CLOUDED = ("--snr", 5, "--clouds", 30, "--edges", "hard", "--knots", 2, "--bad-pixels", 0.0003)
WIDTH, STEP = 0.25, 2
NEAR = 4.0  # px; a suspect this near to a target is that target


def main() -> None:
    """Turn the loop once and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("field-improves"))
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--field", type=int, default=20, help="sequences that the device sees")
    options = parser.parse_args()
    out: Path = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    call("irdim-train", "synth", out / "clear", "--sequences", 8, "--frames", 60, *SIZE, *CLEAR)
    call(
        "irdim-train",
        "synth",
        out / "field",
        "--sequences",
        options.field,
        "--frames",
        60,
        *SIZE,
        *CLOUDED,
        "--seed",
        12,
    )
    call("irdim-train", "synth", out / "kept", "--sequences", 8, "--frames", 60, *SIZE, *CLOUDED, "--seed", 13)
    data, kept = out / "data", out / "kept-data"
    call("irdim-train", "import", out / "clear", "--out", data, "--val", "*-00[67]")
    call("irdim-train", "import", out / "kept", "--out", kept, "--test", "*")
    crop = ("irdim-train", "crop", data, "--frame-step", STEP, "--out")
    call(*crop, out / "patches")
    fit = ("--width", WIDTH, "--epochs", options.epochs)
    call("irdim-train", "fit", out / "patches", *fit, "--out", out / "before")
    call("irdim-export", out / "before", "--int8", "--out", out / "bundle-before")
    (out / "bundle").symlink_to(out / "bundle-before")

    config = write_config(out, out / "field", "flat-out")
    summary = json.loads(call("irdim-edge", "run", config, "--json"))
    call("irdim-edge", "upload", config)
    call("irdim-train", "ingest", f"file://{out / 'depot'}", "--data", data)
    decided = decide(data, out / "field")

    call(*crop, out / "patches-after")
    steps = ("--from", out / "before", *fit)
    call("irdim-train", "fit", out / "patches-after", *steps, "--out", out / "after")
    call("irdim-train", "fit", out / "patches", *steps, "--out", out / "without")
    call("irdim-export", out / "after", "--int8", "--out", out / "bundle-after")

    print(f"\ndevice: {summary['frames']} frames, suspects {summary['suspects']}; the oracle decided {decided}\n")
    print(
        "| on the clouded sky, 8 sequences | F1 | precision | recall | false alarms/frame | best F1 |\n|---|---|---|---|---|---|"
    )
    for name in ("before", "without", "after"):
        s = json.loads(call("irdim-train", "evaluate", out / name, "--data", kept, "--split", "test", "--json"))
        figures = " | ".join(f"{s[k]:.3f}" for k in ("f1", "precision", "recall", "false_alarms_per_frame", "best_f1"))
        print(f"| {name} | {figures} |")
    print(f"\n{take_over(out)}")


def decide(data: Path, truth: Path) -> dict[str, int]:
    """Decide every open question by the truth of the frames that it was cut from. Returns how often each decision fell."""
    counts: dict[str, int] = {}
    with Dataset.open(data) as dataset:
        for item in dataset.queue_items("open"):
            decision, box = verdict(item, truth)
            dataset.decide(item.id, decision, who="oracle", why="the generator's truth", box=box)
            counts[decision] = counts.get(decision, 0) + 1
    return counts


def verdict(item: QueueItem, truth: Path) -> tuple[str, Box | None]:
    """What a person who sees the truth says of an item: the target that is there, or what the item itself thinks of a place without one."""
    said = item.provenance
    top, left = said["origin"]
    boxes = np.genfromtxt(truth / said["source"] / "boxes.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    here = [r for r in np.atleast_1d(boxes) if r["frame"] == said["frame"] and r["label"] == TARGET]
    targets = [
        Box(r["x"] + r["width"] / 2 - left, r["y"] + r["height"] / 2 - top, r["width"], r["height"]) for r in here
    ]
    near = min(targets, key=lambda b: np.hypot(b.x - item.box.x, b.y - item.box.y), default=None)
    if near is not None and np.hypot(near.x - item.box.x, near.y - item.box.y) <= NEAR:
        return TARGET, Box(*(float(v) for v in (near.x, near.y, near.w, near.h)))
    return ("accept" if item.kind in ("false_alarm", "still") else "reject"), None


def take_over(out: Path) -> str:
    """Put the new bundle under a daemon that runs; what it says of it, and whether it lost a frame."""
    config = write_config(out, out / "kept", 20)
    shutil.rmtree(out / "edge")
    daemon = subprocess.Popen(
        [str(BIN / "irdim-edge"), "run", str(config), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(8)
    (out / "next").symlink_to(out / "bundle-after")
    (out / "next").replace(out / "bundle")
    daemon.send_signal(signal.SIGHUP)
    answer, log = daemon.communicate(timeout=300)
    frames = [json.loads(line)["frame"] for part in sorted((out / "edge").glob("detections-*")) for line in part.open()]
    said = [line for line in log.splitlines() if "taken over" in line]
    return f"takeover: {said}; {json.loads(answer)['frames']} frames in, {len(frames)} lines out"


def write_config(out: Path, recordings: Path, rate: object) -> Path:
    """A daemon's configuration: replay these recordings, upload into the depot."""
    config = out / "edge.toml"
    values = {
        "device": "mast",
        "bundle": str(out / "bundle"),
        "out": "edge",
        "camera.paths": [str(p) for p in sorted(recordings.iterdir())],
        "camera.rate": rate,
        "suspects.merge_seconds": 0.2,
        "upload.url": f"file://{out / 'depot'}",
    }
    config.write_text(commented_config(values))
    return config


if __name__ == "__main__":
    main()
