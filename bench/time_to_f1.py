"""What a minute of training buys, on patches and on whole frames of the same data, with the same network.

    python bench/time_to_f1.py PATCHES OUT [--minutes 2 4 8] [--width 0.25] [--seeds 0]

Each budget is a training of its own, to the end of its schedule, one after the other in turns of patches and whole frames; a batch holds as many pixels
in both. F1: best on the whole frames of the validation clips, as `fit` measures it. Writes OUT/time_to_f1.md and .json; trainings that are in OUT are kept.
"""

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

SIZES = {"patch": "patches", "full": "whole frames"}


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
        for size in SIZES:
            runs = [train(asked.patches, asked.out, minutes, size, asked.width, seed) for seed in asked.seeds]
            rows.append({"minutes": minutes, "size": size, "f1": [run["scores"]["val"]["f1"] for run in runs]})
        written = {"command": " ".join(sys.argv), "date": str(date.today()), "rows": rows}
        (asked.out / "time_to_f1.json").write_text(json.dumps(written, indent=1))
        (asked.out / "time_to_f1.md").write_text(table(rows))
        print(table(rows), flush=True)


def train(patches: Path, out: Path, minutes: float, size: str, width: float, seed: int) -> dict[str, Any]:
    """A finished run's description."""
    run = out / f"{size}-{minutes:g}-{seed}"
    if not (run / "model.pt").exists():
        fit = [Path(sys.executable).with_name("irdim-train"), "fit", patches, "--out", run]
        fit += ["--size", "full"] if size == "full" else ["--whole-frames", 0]
        options = ("--minutes", minutes, "--width", width, "--seed", seed)
        subprocess.run([*map(str, fit), *map(str, options)], check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown, in %."""
    budgets = sorted({row["minutes"] for row in rows})
    lines = [f"| best F1 after | {' | '.join(f'{m:g} min' for m in budgets)} |", "|---" * (len(budgets) + 1) + "|"]
    for size, name in SIZES.items():
        found = [mean(row["f1"]) for row in rows if row["size"] == size]
        lines.append(f"| {name} | {' | '.join(f'{100 * f1:.1f}' for f1 in found)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
