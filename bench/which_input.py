"""Fig. 12 on dim, moving targets: one network for each input, trained on all signal-to-noise ratios and drifts, and scored on each by itself.

    python bench/which_input.py CLIPS LABELS DIM OUT --test 'IR_AIRPLANE_02*' 'IR_BIRD_04*' --val 'IR_BIRD_01[0-5]'

CLIPS, LABELS: recordings and their boxes; DIM: the script beside them that dims the targets of clips, lets the scene drift and adds noise (--snr, --speed,
--seed, --clips). Each training and validation clip comes in two conditions, in rotation, each test clip in all. All networks have the same patches' places,
epochs and width; the threshold is chosen on the validation clips. Writes OUT/table.md and table.json; what is in OUT already is taken.
"""

import argparse
import fnmatch
import itertools
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import call

SNRS, SPEEDS = (2, 3, 4, 6), (0, 1, 2)
CONDITIONS = tuple(itertools.product(SNRS, SPEEDS))
IN = 2  # conditions in which a training clip comes


@dataclass(frozen=True)
class Arm:
    """One column of the table."""

    kind: str
    step: int = 4
    register: bool = True

    @property
    def name(self) -> str:
        return f"{self.kind}, step {self.step}{'' if self.register else ', not aligned'}"

    @property
    def folder(self) -> str:
        return f"{self.kind}-{self.step}-{'aligned' if self.register else 'plain'}"


ARMS = (
    Arm("single"),
    Arm("sequence"),
    Arm("difference"),
    Arm("difference+frame"),
    Arm("difference", 1),
    Arm("difference+frame", 1),
    Arm("difference", 4, False),
    Arm("difference+frame", 4, False),
)


def main() -> None:
    """Make the recordings and the data set, train and score each arm, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("clips", "labels", "dim", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--val", nargs="+", required=True)
    parser.add_argument("--test-every", type=int, default=2, help="Every how-manieth test clip is scored.")
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--width", type=float, default=0.25)
    asked = parser.parse_args()
    out: Path = asked.out
    if not (out / "data").exists():
        record(asked)
    rows: list[dict[str, Any]] = []
    for arm in ARMS:
        patches, run = out / f"patches-{arm.step}-{arm.register}", out / arm.folder
        if not patches.exists():
            align = "--register" if arm.register else "--no-register"
            call("irdim-train", "crop", out / "data", "--size", 80, "--frame-step", arm.step, align, "--out", patches)
        if not (run / "model.pt").exists():
            how = ("--input", arm.kind, "--width", asked.width, "--epochs", asked.epochs)
            call("irdim-train", "fit", patches, *how, "--out", run)
        if not (run / "test.json").exists():
            (run / "test.json").write_text(call("irdim-train", "evaluate", run, "--split", "test", "--json"))
        scored = json.loads((run / "test.json").read_text())
        rows.append({"arm": arm.name, "all": of(list(scored["sequences"].values())), **by_condition(scored)})
        (out / "table.json").write_text(json.dumps({"command": " ".join(sys.argv), "rows": rows}, indent=1))
        (out / "table.md").write_text(table(rows))
        print(table(rows), flush=True)


def record(asked: argparse.Namespace) -> None:
    """Clips in their conditions, named CLIP-snrN-speedN, as one data set."""
    names = sorted(path.stem for path in asked.clips.iterdir())
    tests = [n for n in names if any(fnmatch.fnmatch(n, glob) for glob in asked.test)]
    scored = tests[:: asked.test_every]
    wanted: dict[tuple[int, int], list[str]] = {condition: list(scored) for condition in CONDITIONS}
    for i, name in enumerate(n for n in names if n not in tests):
        for k in range(IN):
            wanted[CONDITIONS[(IN * i + k * 5) % len(CONDITIONS)]].append(name)
    recordings, making = asked.out / "recordings", asked.out / "recordings.tmp"
    if not recordings.exists():
        shutil.rmtree(making, ignore_errors=True)
        for snr, speed in CONDITIONS:
            folder = making / f"snr{snr}-speed{speed}"
            words = [asked.dim, asked.clips, asked.labels, folder, "--snr", snr, "--speed", speed, "--clips"]
            call(sys.executable, *words, *wanted[snr, speed])
            for clip in folder.iterdir():
                clip.rename(making / f"{clip.name}-{folder.name}")
            folder.rmdir()
        making.rename(recordings)
    splits = [w for name in scored for w in ("--test", f"{name}-snr*")]
    splits += [w for glob in asked.val for w in ("--val", f"{glob}-snr*")]
    call("irdim-train", "import", recordings, "--out", asked.out / "data", "--interval", 0.1, *splits)


def by_condition(scored: dict[str, Any]) -> dict[str, dict[str, float]]:
    """'SNR, speed' to its F1 and Pd."""
    found = {}
    for snr, speed in CONDITIONS:
        own = [s for name, s in scored["sequences"].items() if name.endswith(f"-snr{snr}-speed{speed}")]
        found[f"{snr}, {speed}"] = of(own)
    return found


def of(scores: list[dict[str, Any]]) -> dict[str, float]:
    """F1 and Pd (recall) of several sequences together."""
    hits, false, targets = (sum(s[key] for s in scores) for key in ("true_positives", "false_positives", "targets"))
    return {"f1": 2 * hits / max(hits + false + targets, 1), "pd": hits / max(targets, 1), "targets": targets}


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown: F1 / Pd in %."""
    heads = ["SNR, px/frame", *(row["arm"] for row in rows)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for condition in [*(f"{snr}, {speed}" for snr, speed in CONDITIONS), "all"]:
        cells = [f"{100 * row[condition]['f1']:.1f} / {100 * row[condition]['pd']:.1f}" for row in rows]
        lines.append(f"| {' | '.join([condition, *cells])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
