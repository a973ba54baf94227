"""What a minute of training buys on patches, on whole frames of the same data, and on the one after the other, with the same network.

    python bench/time_to_f1.py PATCHES OUT [--minutes 2 4 8] [--width 0.25] [--seeds 0]

Each budget is a training of its own, to the end of its schedule, one after the other in turns; a batch holds as many pixels in all. F1: best on the
validation frames, as `fit` measures it, and at its threshold on the test frames. Writes OUT/time_to_f1.md and .json; trainings that are in OUT are kept.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

from commands import call

ARMS = {
    "patches": ("--whole-frames", 0),
    "patches, then whole frames": (),  # the default
    "whole frames": ("--size", "full"),
}


def main() -> None:
    """Train, and write the table after each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[2.0, 4.0, 8.0])
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for minutes in sorted(asked.minutes):
        for arm in ARMS:
            runs = [train(asked.patches, asked.out, minutes, arm, asked.width, seed) for seed in asked.seeds]
            rows.append({"minutes": minutes, "arm": arm, "f1": runs})
        written = {"command": " ".join(sys.argv), "date": str(date.today()), "rows": rows}
        (asked.out / "time_to_f1.json").write_text(json.dumps(written, indent=1))
        (asked.out / "time_to_f1.md").write_text(table(rows))
        print(table(rows), flush=True)


def train(patches: Path, out: Path, minutes: float, arm: str, width: float, seed: int) -> dict[str, float]:
    """F1 of a finished run on the validation and the test frames, and the seconds that its training took."""
    run = out / f"{arm.replace(', ', '-').replace(' ', '-')}-{minutes:g}-{seed}"
    if not (run / "model.pt").exists():
        words = ["fit", patches, "--out", run, "--minutes", minutes, "--width", width, "--seed", seed, *ARMS[arm]]
        call("irdim-train", *words)
    description = json.loads((run / "run.json").read_text())
    if not (run / "test.json").exists():
        (run / "test.json").write_text(call("irdim-train", "evaluate", run, "--split", "test", "--json"))
    test = json.loads((run / "test.json").read_text())
    return {"val": description["scores"]["val"]["f1"], "test": test["f1"], "seconds": description["seconds"]}


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown, in %."""
    budgets = sorted({row["minutes"] for row in rows})
    lines = [
        f"| F1, validation / test, after | {' | '.join(f'{m:g} min' for m in budgets)} |",
        "|---" * (len(budgets) + 1) + "|",
    ]
    for arm in ARMS:
        cells = []
        for row in rows:
            if row["arm"] == arm:
                val, test, seconds = (mean(run[key] for run in row["f1"]) for key in ("val", "test", "seconds"))
                cells.append(f"{100 * val:.1f} / {100 * test:.1f} ({seconds:.0f} s)")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
