"""Planted label errors: what `refine` finds within a budget of twice their number, and what each part of it adds; cleanlab beside it.

    python bench/label_errors.py [--out label-errors] [--seed 77] [--folds 2]
    python bench/label_errors.py --clips CLIPS --val GLOB --leave-out GLOB --every 2 --interval 0.1 --epochs 3 --folds 2

Generated sequences (16 of 60 frames, local SCR 6, two targets, knots and bad pixels labelled interference) with 5 % of label errors, 14 to train on; a
quarter-width network, 10 epochs. Or clips of your own (folders of frames.npy and boxes.csv, all boxes targets, taken for the truth; the folders stay as
they are): errors planted in a copy of their boxes, and a quarter-width network trained on these.

An error is found where a doubt of its kind, within 3 px of the truth (of the label, where there is no truth), is among the first. Of cleanlab (pip install
cleanlab; the same network's detections and the same labels) the kind is not asked, and the lowest of its three scores (overlooked, badly located, swapped)
come in turn, which is kinder to it than the lowest of all.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from commands import call

from irdim.boxes import CLASSES, IGNORE, TARGET, Box
from irdim.dataset import Dataset
from irdim.scr import local_scr
from irdim_train.importing.labels import read_labels
from irdim_train.models import open_model
from irdim_train.refining import RefineOptions, refine
from irdim_train.refining.maps import frame_maps
from irdim_train.synth.label_errors import plant_errors
from irdim_train.synth.ledger import KINDS, PlantedError, read_ledger, write_ledger

NEAR = 3.0  # px
RATE = 0.05


def main() -> None:
    """Make what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("label-errors"))
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--course", action="store_true", help="also with the snapshots of the run")
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--val", action="append", default=[], metavar="GLOB")
    parser.add_argument("--leave-out", action="append", default=[], metavar="GLOB")
    parser.add_argument("--every", type=int, default=1, help="of the clips, by name")
    parser.add_argument("--interval", type=float, default=0.04)
    options = parser.parse_args()
    out: Path = options.out
    make(out, options)
    run = out / "run"
    with Dataset.open(out / "data") as data:
        planted = reachable(read_ledger(out / "recordings"), data, run)
        print(f"{len(planted)} errors on frames with full history, {Counter(e.kind for e, _ in planted)}")
        print(
            f"| budget {2 * len(planted)} | " + " | ".join(KINDS) + " | all | SCR >= 5 |\n|" + "---|" * (len(KINDS) + 3)
        )
        for name, how in {
            "the run alone": RefineOptions(course=False, context=False),
            "and the labels around": RefineOptions(course=False),
            **(
                {f"and {options.folds} folds": RefineOptions(course=False, folds=options.folds)}
                if options.folds
                else {}
            ),
            **({"and the course, without folds": RefineOptions()} if options.course else {}),
        }.items():
            ranked = refine(data, run, how).ranked[: 2 * len(planted)]
            places = [(d.kind, s.name, d.frame, d.box) for s, d in ranked]
            show(
                name, planted, lambda e, p: p[0] == e.kind and _is_at(e, p[1], p[2], p[3], e.true or e.written), places
            )
        show("cleanlab", planted, _touches, by_cleanlab(data, run)[: 2 * len(planted)])


def make(out: Path, options: argparse.Namespace) -> None:
    """Recordings with errors, data set, patches and run."""
    if options.clips:
        crop: tuple[Any, ...] = ("--size", 80, "--frame-step", 4, "--background", 0.5)
        held: tuple[Any, ...] = ("--interval", options.interval, *(w for glob in options.val for w in ("--val", glob)))
        spoil_clips(options, out / "recordings")
    else:
        crop, held = ("--size", 64, "--frame-step", 2), ("--val", "*-01[45]")
    size = ("--sequences", 16, "--frames", 60, "--size", "160x128", "--scr", 6, "--targets", 2, "--workers", 1)
    fit = ("--width", 0.25, "--epochs", options.epochs, "--snapshots", 3, "--whole-frames", 0)
    steps: dict[str, tuple[Any, ...]] = {
        "recordings": ("synth", out / "recordings", *size, "--seed", options.seed, "--label-errors", RATE),
        "data": ("import", out / "recordings", "--out", out / "data", *held),
        "patches": ("crop", out / "data", *crop, "--out", out / "patches"),
        "run": ("fit", out / "patches", *fit, "--out", out / "run"),
    }
    for name, words in steps.items():
        if not (out / name).exists():
            call("irdim-train", *words)


def spoil_clips(options: argparse.Namespace, out: Path) -> None:
    """Links to the clips' frames, with boxes.csv spoilt and a ledger beside them; what is there stays."""
    rng = np.random.default_rng(options.seed)
    there = sorted(p.parent for p in options.clips.glob("*/frames.npy"))
    clips = [p for p in there if not any(fnmatchcase(p.name, glob) for glob in options.leave_out)]
    for clip in clips[:: options.every] if not out.exists() else []:
        boxes: dict[int, list[Box]] = {}
        for label in read_labels(clip / "boxes.csv", 0):
            boxes.setdefault(label.frame, []).append(replace(label.box, label=TARGET))
        frames, height, width = np.load(clip / "frames.npy", mmap_mode="r", allow_pickle=False).shape
        written, errors = plant_errors(boxes, frames, (height, width), RATE, rng, clip.name)
        (out / clip.name).mkdir(parents=True)
        (out / clip.name / "frames.npy").symlink_to((clip / "frames.npy").resolve())
        with (out / clip.name / "boxes.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("frame", "label", "x", "y", "width", "height"))
            writer.writerows(
                (f, b.label, b.x - b.w / 2, b.y - b.h / 2, b.w, b.h) for f, of in written.items() for b in of
            )
        write_ledger(out / clip.name, errors)


def reachable(errors: list[PlantedError], data: Dataset, run: Path) -> list[tuple[PlantedError, float]]:
    """Those on frames that the network judges, with the local SCR of the true target; infinite where there is none."""
    history = open_model(run)[0].input.history
    found = []
    for e in errors:
        if e.frame >= history - 1:
            scr = local_scr(data.frames(data.sequence(e.sequence))[e.frame], e.true) if e.true else float("inf")
            found.append((e, scr))
    return found


def show(name: str, planted: list[tuple[PlantedError, float]], hit: Callable[[Any, Any], bool], places: list) -> None:
    """One line of the table: found of planted."""
    found = [any(hit(e, p) for p in places) for e, _ in planted]
    cells = []
    for kind in KINDS:
        of = [f for f, (e, _) in zip(found, planted, strict=True) if e.kind == kind]
        cells.append(f"{sum(of)} of {len(of)} ({np.mean(of):.2f})")
    clear = [f for f, (_, scr) in zip(found, planted, strict=True) if scr >= 5]
    print(
        f"| {name} | " + " | ".join(cells) + f" | {np.mean(found):.3f} | {np.mean(clear):.3f} of {len(clear)} |",
        flush=True,
    )


def by_cleanlab(data: Dataset, run: Path) -> list[tuple[str, int, Box]]:
    """Places as cleanlab ranks them, its three lists in turn: sequence, frame, box."""
    from cleanlab.object_detection import rank

    from irdim.grid import decode

    card, engine, _ = open_model(run)
    labels, predictions, where = [], [], []
    for s in [*data.sequences("train"), *data.sequences("val")]:
        boxes = data.boxes(s)
        for frame, output in frame_maps(data, s, card, [engine]):
            here = [b for b in boxes.get(frame, []) if b.label != IGNORE]
            found = decode(output, card.stride, 0.05, (s.height, s.width))
            labels.append(
                {
                    "bboxes": np.array([_corners(b) for b in here]).reshape(-1, 4),
                    "labels": np.array([CLASSES.index(b.label) for b in here], int),
                }
            )
            predictions.append(
                np.array(
                    [np.array([[*_corners(d), d.score] for d in found if d.label == c]).reshape(-1, 5) for c in CLASSES]
                    + [None],
                    dtype=object,
                )[:-1]
            )
            where.append((s.name, frame, here, found))
    auxiliary = {"labels": labels, "predictions": predictions}
    overlooked = rank.compute_overlooked_box_scores(**auxiliary, high_probability_threshold=0.5)
    badly, swapped = rank.compute_badloc_box_scores(**auxiliary), rank.compute_swap_box_scores(**auxiliary)
    lists: tuple[list, list, list] = ([], [], [])
    for i, (name, frame, here, found) in enumerate(where):
        in_classes = [d for c in CLASSES for d in found if d.label == c]
        for d, score in zip(in_classes, overlooked[i], strict=True):
            lists[0].append((score, (name, frame, Box(d.x, d.y, d.w, d.h, d.label))))
        for b, *scores in zip(here, badly[i], swapped[i], strict=True):
            for of, score in zip(lists[1:], scores, strict=True):
                of.append((score, (name, frame, b)))
    ranked = [[p for s, p in sorted(of, key=lambda item: item[0]) if np.isfinite(s)] for of in lists]
    places: list[tuple[str, int, Box]] = []
    for turn in zip_longest(*ranked):
        places += [p for p in turn if p is not None and p not in places[-50:]]
    return places


def _corners(b: Any) -> tuple[float, float, float, float]:
    return b.x - b.w / 2, b.y - b.h / 2, b.x + b.w / 2, b.y + b.h / 2


def _is_at(e: PlantedError, sequence: str, frame: int, box: Box, at: Box | None) -> bool:
    return (
        at is not None and (sequence, frame) == (e.sequence, e.frame) and np.hypot(at.x - box.x, at.y - box.y) <= NEAR
    )


def _touches(e: PlantedError, place: tuple[str, int, Box]) -> bool:
    """Whether a place is the error's, at its truth or at what was written."""
    return any(_is_at(e, *place, at) for at in (e.true, e.written))


if __name__ == "__main__":
    main()
