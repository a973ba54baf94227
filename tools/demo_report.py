"""demo/report.html: what the demo did, in pictures."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from irdim.bundle import Bundle
from irdim.dataset import Dataset, Sequence
from irdim.detector import Detector
from irdim.fieldlog import TALLY, kind_in
from irdim.input_step import InputStep, Prepared
from irdim.report import Figure, Section, Table, picture, plot, show_frame, side_by_side, write_report
from irdim.sources import Frame

SHOWN = 3  # frames, and suspects, in the report


def write_demo_report(demo: Path, stages: list[Any], split: str) -> None:
    """Read what lies in the demo folder and write its report.html. stages: name, seconds and figures of each command."""
    bundle = Bundle.load(demo / "bundle")
    rows = [[s.name, f"{s.seconds:.1f} s", s.figures] for s in stages]
    rows.append(["together", f"{sum(s.seconds for s in stages):.0f} s", ""])
    with Dataset.open(demo / "data") as data:
        sections = [
            Section("What each stage did", tables=[Table(["stage", "time", "figures"], rows)]),
            Section(
                "Frames with detections",
                [
                    "Orange: labelled targets. Violet: labelled interference. Green: what the INT8 network reports as a target, with its score."
                ],
                figures=_frames(data, bundle, split),
            ),
            Section(
                "What the network sees",
                [
                    "The newest frame and its differences with three older ones (Eq. 1), aligned, high-passed, in sigmas of their noise: "
                    "the background goes, what moves stays."
                ],
                figures=_inputs(data, bundle, split),
            ),
            Section("Training", figures=[_loss(demo / "run" / "history.jsonl")]),
            Section("FP32 against INT8", ["The same frames, the same threshold."], [_parity(bundle)]),
            Section("Suspects", _suspect_words(demo), figures=_suspects(demo / "items")),
        ]
    note = f"irdim; bundle {bundle.digest[:12]}; {bundle.card.backbone}, width {bundle.card.width:g}, input {bundle.card.input.kind}"
    write_report(demo / "report.html", "irdim: the loop, once", note, sections)


def _frames(data: Dataset, bundle: Bundle, split: str) -> list[Figure]:
    figures = []
    for sequence in data.sequences(split)[:SHOWN]:
        detector = Detector.from_bundle(bundle)
        frames, times, labels = data.frames(sequence), data.times(sequence), data.boxes(sequence)
        best: tuple[int, Any] | None = None
        for index in range(sequence.length):
            step = detector.push(Frame(index, float(times[index]), frames[index]))
            if step.status == "ok" and labels.get(index) and (best is None or index <= sequence.length * 2 // 3):
                best = (index, step)
        if best is not None:
            index, step = best
            reported = [d for d in step.detections if d.score >= bundle.card.thresholds.report and d.label == "target"]
            shown = show_frame(frames[index], labels[index], reported, zoom=_zoom(sequence))
            figures.append(picture(shown, f"{sequence.name}, frame {index}"))
    return figures


def _inputs(data: Dataset, bundle: Bundle, split: str) -> list[Figure]:
    sequence = data.sequences(split)[0]
    step = InputStep(bundle.card)
    frames, times, labels = data.frames(sequence), data.times(sequence), data.boxes(sequence)
    found: tuple[int, Prepared] | None = None
    for index in range(sequence.length * 2 // 3):
        prepared = step.push(Frame(index, float(times[index]), frames[index]))
        if isinstance(prepared, Prepared) and labels.get(index):
            found = (index, prepared)
    if found is None:
        return []
    index, prepared = found
    targets = [b for b in labels[index] if b.label == "target"]
    planes = prepared.image[:, : prepared.shape[0], : prepared.shape[1]]
    shown = [show_frame(plane, targets, zoom=2, limits=(-5, 8)) for plane in planes[::-1]]
    return [
        picture(
            side_by_side(shown),
            f"{sequence.name}, frame {index}: the newest frame, then its differences, the longest back first",
            wide=True,
        )
    ]


def _loss(course: Path) -> Figure:
    rows = [json.loads(line) for line in course.read_text().splitlines()]

    def draw(axes: Any) -> None:
        axes.plot([r["step"] for r in rows], [r["loss"] for r in rows], marker="o", markersize=3)
        axes.set(xlabel="step", ylabel="loss (Eq. 2)", ylim=(0, None))
        axes.grid(alpha=0.3)

    return plot(draw, "Mean training loss, epoch by epoch (the last epoch may be a part of one)")


def _parity(bundle: Bundle) -> Table:
    rows = []
    for name in ("fp32", "int8"):
        s = bundle.scores[name]
        kilobytes = bundle.graph(name).stat().st_size // 1000
        rows.append(
            [
                name.upper(),
                *(float(s[k]) for k in ("f1", "precision", "recall", "false_alarms_per_frame")),
                kilobytes,
            ]
        )
    return Table(["graph", "F1", "precision", "recall", "false alarms/frame", "kB"], rows)


def _suspect_words(demo: Path) -> list[str]:
    kinds = Counter(kind_in(path.name) == TALLY for path in (demo / "depot").glob("*.irlog"))
    if not kinds[False]:
        return ["The detector gave no reason for suspicion on these frames: no track with a gap, no single report."]
    return [
        f"Suspects that came back, each with its lossless frames: {kinds[False]}, each now a question (irdim-train review {os.path.relpath(demo / 'data')}). "
        f"Tallies, which say what was looked at: {kinds[True]}.",
    ]


def _suspects(folder: Path) -> list[Figure]:
    figures = []
    paths = sorted(folder.glob("*.png"))
    spread = sorted({round(i) for i in np.linspace(0, len(paths) - 1, SHOWN)}) if paths else []
    for path in (paths[i] for i in spread):  # neighbours in the queue are often of one track
        image = cv2.imread(str(path))
        if image is not None:
            figures.append(picture(image, path.stem, wide=True))
    return figures


def _zoom(sequence: Sequence) -> int:
    return int(np.clip(700 // sequence.width, 1, 4))
