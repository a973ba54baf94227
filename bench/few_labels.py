"""How many labelled clips are enough: networks that begin at random beside ones that begin with the starter, trained on more and more clips.

    python bench/few_labels.py RECORDINGS OUT --test 'IR_AIRPLANE_02*' 'IR_BIRD_04*' --val 'IR_BIRD_01[0-5]' [--clips 4 8 16 32]

RECORDINGS: labelled sequences, as irdim-train import takes them. Trained is with the defaults of fit (or what stands after --fit), and the same validation
clips choose all thresholds. Writes OUT/table.md, table.json and few_labels.png; what is in OUT already is taken.
"""

import argparse
import fnmatch
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
from commands import call

matplotlib.use("Agg")
from matplotlib import pyplot

STARTS = ("random", "starter")


def main() -> None:
    """Import, crop, train and score for each number of clips, and write table and plot after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--val", nargs="+", required=True)
    parser.add_argument("--clips", nargs="+", type=int, default=[4, 8, 16, 32])
    parser.add_argument("--interval", type=float, default=0.1, help="Seconds between frames.")
    parser.add_argument("--fit", nargs=argparse.REMAINDER, default=[], help="Further options of irdim-train fit, last.")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for clips in asked.clips:
        data, patches = gather(asked, clips)
        row: dict[str, Any] = {"clips": clips}
        for start in STARTS:
            run = asked.out / f"{clips}-{start}"
            if not (run / "model.pt").exists():
                call("irdim-train", "fit", patches, "--from", start, "--out", run, *asked.fit)
            row[start] = score(run, run / "test.json", data)
        rows.append(row)
        write(asked, rows)


def gather(asked: argparse.Namespace, clips: int) -> tuple[Path, Path]:
    """So many training clips, evenly from the list of names, with all validation and test clips: data set and patches."""
    names = sorted(path.name for path in asked.recordings.iterdir())
    held = {n for n in names if any(fnmatch.fnmatch(n, glob) for glob in (*asked.val, *asked.test))}
    own = [n for n in names if n not in held]
    chosen = [own[(2 * i + 1) * len(own) // (2 * clips)] for i in range(clips)]
    folder = asked.out / f"{clips}"
    recordings, data, patches = folder / "recordings", folder / "data", folder / "patches"
    if not patches.exists():
        recordings.mkdir(parents=True, exist_ok=True)
        for name in (*chosen, *held):
            link = recordings / name
            if not link.is_symlink():
                link.symlink_to((asked.recordings / name).resolve())
        splits = [word for s in ("val", "test") for glob in getattr(asked, s) for word in (f"--{s}", glob)]
        call("irdim-train", "import", recordings, "--out", data, "--interval", asked.interval, *splits)
        call("irdim-train", "crop", data, "--size", 80, "--frame-step", 4, "--out", patches)
    return data, patches


def score(model: Path, kept: Path, data: Path) -> dict[str, Any]:
    """What evaluate says of the test clips."""
    if not kept.exists():
        kept.write_text(call("irdim-train", "evaluate", model, "--data", data, "--split", "test", "--json"))
    scored = json.loads(kept.read_text())
    return {key: scored[key] for key in ("f1", "best_f1", "precision", "recall", "intervals")}


def write(asked: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """The table, as JSON too, and the plot."""
    lines = ["| labelled clips | " + " | ".join(f"from {s}: F1 (best)" for s in STARTS) + " |", "|---|---|---|"]
    for row in rows:
        cells = [f"{100 * row[s]['f1']:.1f} ({100 * row[s]['best_f1']:.1f})" for s in STARTS]
        lines.append(f"| {row['clips']} | {' | '.join(cells)} |")
    (asked.out / "table.md").write_text("\n".join(lines) + "\n")
    (asked.out / "table.json").write_text(json.dumps({"command": " ".join(sys.argv), "rows": rows}, indent=1))
    print("\n".join(lines), flush=True)
    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for start, colour in zip(STARTS, ("0.5", "tab:orange"), strict=True):
        axes.plot(
            [r["clips"] for r in rows], [100 * r[start]["f1"] for r in rows], "o-", color=colour, label=f"from {start}"
        )
    axes.set(xscale="log", xlabel="labelled training clips", ylabel="F1 on clips of other scenes, %", ylim=(0, None))
    axes.set_xticks([r["clips"] for r in rows], [str(r["clips"]) for r in rows], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(asked.out / "few_labels.png", dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
