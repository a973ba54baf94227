"""parity.html: what a bundle's INT8 graph loses against FP32, for people."""

from pathlib import Path
from typing import Any

import numpy as np

from irdim.bundle import Bundle
from irdim.dataset import Dataset
from irdim.report import Figure, Section, Table, picture, plot, show_around, write_report
from irdim.wording import number_of
from irdim_export.layers import Layer, int8_share
from irdim_export.parity import Changed, SideBySide


def write_parity_report(
    path: Path, bundle: Bundle, data: Dataset, parity: SideBySide, layers: list[Layer], size: tuple[int, int]
) -> None:
    """size: (H, W) at which `layers` were counted."""
    scores = bundle.scores
    engines = list(parity.metrics)
    rows = [
        [
            name,
            *(scores[name][k] for k in ("f1", "precision", "recall", "false_alarms_per_frame")),
            scores["milliseconds"][name],
        ]
        for name in engines
    ]
    calibration, drift = bundle.description["calibration"], scores["drift"]
    words = [
        f"{scores['int8']['frames']} whole frames ({parity.split}), {scores['int8']['protocol']}, threshold {scores['int8']['threshold']:.3f}; "
        f"milliseconds are medians of the bare engine on this machine, frame by frame in turn.",
        f"{engines[0]} and {engines[-1]} together report {parity.reported} detections, each counted by itself; of these {parity.changed} in one of them only "
        "(more than 1 px apart, or on the other side of the threshold). "
        f"Scores of the {drift['detections']} that both have moved by {drift['mean']:.4f} on average, {drift['largest']:.3f} at most.",
        f"F1 of {engines[-1]} less that of {engines[0]}: {_difference(scores['difference'])}.",
        f"Ranges: {calibration['ranges']}, from {calibration['patches']} calibration patches "
        f"({', '.join(f'{n} {kind}' for kind, n in calibration['kinds'].items())}; digest {calibration['digest'][:12]}). Opset {bundle.description['opset']}. "
        f"{100 * int8_share(layers):.1f} % of the multiply-adds at {size[1]}x{size[0]} are INT8.",
    ]
    sizes = [[n, f"{bundle.graph(n).stat().st_size / 1e6:.2f} MB"] for n in ("fp32", "int8")]
    heads = ["engine", "F1", "precision", "recall", "false alarms/frame", "ms"]
    costs = [[x.name, "x".join(map(str, x.weight)), x.precision, f"{x.multiply_adds / 1e6:.1f} M"] for x in layers]
    sections = [
        Section(
            "Scores", words, [Table(heads, rows), Table(["graph", "size"], sizes)], [_drift(parity), _curves(parity)]
        ),
        Section("Detections that changed", [_examples_words(parity)], figures=_examples(parity, data)),
        Section("Layers", [], [Table(["convolution", "weight", "precision", "multiply-adds"], costs)]),
    ]
    if tried := calibration.get("tried"):
        rows = [["FP32", tried["fp32"], ""], *([m, f1, tried["changed"][m]] for m, f1 in tried["f1"].items())]
        words = [
            f"On {tried['frames']} {tried['split']} frames of {number_of(tried['sequences'], 'sequence')} at the report threshold; "
            "the way that changes the fewest detections was taken."
        ]
        sections.insert(1, Section("Ways to read the ranges", words, [Table(["ranges", "F1", "changed"], rows)]))
    if found := calibration.get("qat"):
        scores_then = ", ".join(f"{name}: {f1:.4f}" for name, f1 in found["f1"].items())
        kept = "the fine-tuned weights were kept" if found["kept"] else "the fine-tuned weights were not kept"
        words = [f"F1 on the same {found['frames']} {found['split']} frames: {scores_then}; {kept}."]
        sections.append(Section("Fine-tuning with rounded weights", words))
    if found := calibration.get("sensitive"):
        left = ", ".join(calibration["higher_precision"]) or "none: it did not pay"
        words = [
            f"By how much the output's error falls when one convolution is FP32; F1 on {found['frames']} {found['split']} frames with the first ones in FP32 "
            f"({', '.join(f'{name}: {f1:.4f}' for name, f1 in found['f1'].items())}). Left in FP32: {left}."
        ]
        rows = [[name, f"{gain:.2f} dB"] for name, gain in found["decibels"].items()]
        sections.append(Section("Sensitive layers", words, [Table(["convolution", "gain"], rows)]))
    card = bundle.card
    write_report(path, "FP32 against INT8", f"{card.backbone}, width {card.width:g}, input {card.input.kind}", sections)


def _difference(difference: dict[str, Any]) -> str:
    if difference["low"] is None:
        return f"{difference['f1']:+.4f} (too few sequences for an interval)"
    return (
        f"{difference['f1']:+.4f} (95 % interval over sequences {difference['low']:+.4f} to {difference['high']:+.4f})"
    )


def _drift(parity: SideBySide) -> Figure:
    def draw(axes: Any) -> None:
        axes.hist(parity.drift or [0.0], bins=np.linspace(-0.2, 0.2, 81))
        axes.set_xlabel("INT8 score less FP32 score")
        axes.set_ylabel("detections")

    return plot(draw, "How scores of shared detections moved.")


def _curves(parity: SideBySide) -> Figure:
    def draw(axes: Any) -> None:
        for name, metric in parity.metrics.items():
            curve = metric.curve()
            axes.plot(curve["recall"], curve["precision"], label=name)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.legend()

    return plot(draw, "Precision and recall over all thresholds.")


def _examples_words(parity: SideBySide) -> str:
    if not parity.examples:
        return "None: both report the same."
    legend = "Orange: labelled target. Violet: labelled interference. Grey: a region to ignore. Green: the detection that only one engine reports."
    return f"The strongest {len(parity.examples)}. {legend}"


def _examples(parity: SideBySide, data: Dataset) -> list[Figure]:
    return [_example(c, data) for c in parity.examples]


def _example(changed: Changed, data: Dataset) -> Figure:
    sequence = data.sequence(changed.sequence)
    frame = data.frames(sequence)[changed.frame]
    labels = data.boxes(sequence).get(changed.frame, [])
    shown = show_around(frame, (changed.detection.x, changed.detection.y), labels, [changed.detection])
    caption = f"{changed.sequence}, frame {changed.frame}: only {changed.by}, score {changed.detection.score:.2f}"
    return picture(shown, caption)
