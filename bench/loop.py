"""The loop from 10 % of the labels, decided by an oracle: F1 on untouched sequences over the items that were reviewed; beside it random frames.

    python bench/loop.py [--out loop-bench] [--iterations 2] [--budget 20]

Generated sequences of 40 frames (local SCR 6, two targets, knots and bad pixels labelled interference): ten to train on, of which one is labelled, two to
choose thresholds on, four to score. `value`: what refine and mine queue, the most valuable and various first. `random`: as many whole frames drawn at
random and labelled completely. `everything`: one training on all ten, of as many epochs as all of the loop's together.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
TRAIN, VAL, TEST = 10, 2, 4
PATCHES = ("--size", 64, "--frame-step", 2)


def main() -> None:
    """Make what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("loop-bench"))
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--budget", type=int, default=20)
    parser.add_argument("--epochs", type=float, default=40)
    parser.add_argument("--more-epochs", type=float, default=5)
    options = parser.parse_args()
    out: Path = options.out
    recordings, truth = out / "recordings", out / "truth"
    if not truth.exists():
        size = ("--sequences", TRAIN + VAL + TEST, "--frames", 40, "--size", "160x128")
        call("synth", recordings, *size, "--scr", 6, "--targets", 2, "--seed", 91, "--workers", 1)
        names = sorted(p.name for p in recordings.iterdir() if p.is_dir())
        held = [w for n in names[TRAIN : TRAIN + VAL] for w in ("--val", n)]
        held += [w for n in names[TRAIN + VAL :] for w in ("--test", n)]
        call("import", recordings, "--out", truth, *held)
        for name in names[1:TRAIN]:
            (recordings / name / "boxes.csv").rename(recordings / name / "unused.csv")
        for arm in ("value", "random"):
            call("import", recordings, "--out", out / f"data-{arm}", *held)
    print("| arm | iteration | images | P | R | F1 | reviewed before |\n|---|---|---|---|---|---|---|", flush=True)
    for arm in ("value", "random"):
        loop = (
            "--data",
            out / f"data-{arm}",
            "--out",
            out / f"loop-{arm}",
            "--choose",
            arm,
            "--decide",
            "oracle",
            "--truth",
            truth,
        )
        length = ("--iterations", options.iterations, "--budget", options.budget, "--epochs", options.epochs)
        state = json.loads(
            call("iterate", *loop, *length, "--more-epochs", options.more_epochs, *PATCHES, "--width", 0.25)
        )
        reviewed = 0
        for t in state["turns"]:
            rates = " | ".join(f"{100 * t['scores'][k]:.1f}" for k in ("precision", "recall", "f1"))
            print(f"| {arm} | {t['number']} | {t['images']} | {rates} | {reviewed} |", flush=True)
            reviewed += t["reviewed"]
    shutil.rmtree(out / "all", ignore_errors=True)
    call("crop", truth, *PATCHES, "--out", out / "all-patches")
    epochs = options.more_epochs * (options.iterations + 1)
    call("fit", out / "all-patches", "--width", 0.25, "--whole-frames", 0, "--epochs", epochs, "--out", out / "all")
    s = json.loads(call("evaluate", out / "all", "--split", "test"))
    print("| everything | - | - | " + " | ".join(f"{100 * s[k]:.1f}" for k in ("precision", "recall", "f1")) + " | - |")


def call(*words: Any) -> str:
    """An irdim-train command; what it printed."""
    done = subprocess.run([str(BIN / "irdim-train"), *map(str, words), "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{words[0]} failed")
    return done.stdout


if __name__ == "__main__":
    main()
