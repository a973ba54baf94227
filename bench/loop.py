"""The loop from 10 % of the labels, decided by an oracle: F1 on untouched sequences over the items that were reviewed; beside it random frames.

    python bench/loop.py [--out loop-bench] [--iterations 2] [--budget 20]

Generated sequences of 40 frames (local SCR 6, two targets, knots and bad pixels labelled interference): ten to train on, of which one is labelled, two to
choose thresholds on, four to score. `value`: what refine and mine queue, the most valuable and various first. `random`: as many whole frames drawn at
random and labelled completely. `everything`: one training on all ten, of as many epochs as all of the loop's together.
"""

import argparse
import json
import shutil
from pathlib import Path

from commands import call

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
        call("irdim-train", "synth", recordings, *size, "--scr", 6, "--targets", 2, "--seed", 91, "--workers", 1)
        names = sorted(p.name for p in recordings.iterdir() if p.is_dir())
        held = [w for n in names[TRAIN : TRAIN + VAL] for w in ("--val", n)]
        held += [w for n in names[TRAIN + VAL :] for w in ("--test", n)]
        call("irdim-train", "import", recordings, "--out", truth, *held)
        for name in names[1:TRAIN]:
            (recordings / name / "boxes.csv").rename(recordings / name / "unused.csv")
        for arm in ("value", "random"):
            call("irdim-train", "import", recordings, "--out", out / f"data-{arm}", *held)
    print("| arm | iteration | images | P | R | F1 | reviewed before |\n|---|---|---|---|---|---|---|", flush=True)
    for arm in ("value", "random"):
        loop = ("--data", out / f"data-{arm}", "--out", out / f"loop-{arm}", "--choose", arm)
        oracle = ("--decide", "oracle", "--truth", truth, "--budget", options.budget)
        length = ("--iterations", options.iterations, "--epochs", options.epochs, "--more-epochs", options.more_epochs)
        said = call("irdim-train", "iterate", *loop, *oracle, *length, *PATCHES, "--width", 0.25, "--json")
        state = json.loads(said)
        reviewed = 0
        for t in state["turns"]:
            rates = " | ".join(f"{100 * t['scores'][k]:.1f}" for k in ("precision", "recall", "f1"))
            print(f"| {arm} | {t['number']} | {t['images']} | {rates} | {reviewed} |", flush=True)
            reviewed += t["reviewed"]
    shutil.rmtree(out / "all", ignore_errors=True)
    call("irdim-train", "crop", truth, *PATCHES, "--out", out / "all-patches")
    epochs = options.more_epochs * (options.iterations + 1)
    how = ("--width", 0.25, "--whole-frames", 0, "--epochs", epochs)
    call("irdim-train", "fit", out / "all-patches", *how, "--out", out / "all")
    s = json.loads(call("irdim-train", "evaluate", out / "all", "--split", "test", "--json"))
    print("| everything | - | - | " + " | ".join(f"{100 * s[k]:.1f}" for k in ("precision", "recall", "f1")) + " | - |")


if __name__ == "__main__":
    main()
