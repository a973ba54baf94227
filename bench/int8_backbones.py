"""Every run of a folder through INT8, and the table: what INT8 loses, chosen on validation clips, scored on test clips, beside naive calibration.

    python bench/int8_backbones.py RUNS OUT [--data DATA] [--group '(.*)-again'] [--qat 1] [--keep]

RUNS holds one finished run for each backbone (irdim-train compare --backbones all, or fit by fit). Writes OUT/RUN (bundles) and OUT/table.md, table.json.
Scored are the test frames of DATA, by default the runs' own. Intervals draw sequences; those whose names give the same first match group of --group are
drawn together, as several recordings of one scene.
Naive: 100 random whole training frames, min-max ranges, raw counts scaled to the input's range by their own minimum and maximum, as peers calibrate.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np

from irdim.bundle import DESCRIPTION, Bundle, ModelCard
from irdim.dataset import Dataset
from irdim.differencing import INPUT_RANGE
from irdim.engines import open_engine
from irdim.engines.choice import open_on_cpu
from irdim.metrics import CentreDistance, paired_difference
from irdim_calibration.select import CalibrationSet
from irdim_export.cpu import open_rewritten
from irdim_export.export import ExportOptions, export
from irdim_export.parity import score_side_by_side
from irdim_export.quantise import quantise
from irdim_train.runs import load_model, read_run

NAIVE = 100  # frames
HEADS = (
    "run",
    "backbone",
    "F1 FP32",
    "F1 INT8",
    "INT8 less FP32 (95 % by clip)",
    "changed",
    "F1 naive",
    "naive less FP32 (95 % by clip)",
    "ranges",
    "left in FP32",
    "INT8 share",
)


def main() -> None:
    """Export, score, and write the table after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--group", default=None, metavar="REGEX")
    parser.add_argument(
        "--qat", type=float, default=0.0, help="Epochs of fine-tuning where INT8 costs much on validation frames."
    )
    parser.add_argument("--keep", action="store_true", help="Take bundles that are in OUT already.")
    arguments = parser.parse_args()
    rows = []
    for run in sorted(path.parent for path in arguments.runs.glob("*/model.pt")):
        out = arguments.out / run.name
        if not (arguments.keep and (out / DESCRIPTION).is_file()):
            export(
                run,
                out,
                ExportOptions(split="val", qat=arguments.qat),
                progress=lambda s, r=run: print(f"{r.name}: {s}", flush=True),
            )
        rows.append(row(run, Bundle.load(out), arguments.data or Path(read_run(run)["data"]), arguments.group))
        write(arguments.out, rows)
        print(" | ".join(map(str, rows[-1].values())), flush=True)


def row(run: Path, bundle: Bundle, test: Path, group: str | None) -> dict[str, object]:
    """One line of the table, by HEADS: FP32, INT8 and a graph that was calibrated as peers do, on the same frames."""
    chosen = bundle.description["calibration"]
    graph = bundle.path.parent / f"{run.name}.naive.onnx"
    _, card = load_model(run)
    with Dataset.open(Path(read_run(run)["data"])) as data:
        quantise(bundle.graph("fp32"), graph, CalibrationSet(naive_inputs(card, data), np.arange(0), ""), "minmax")
    engines = {
        "fp32": open_engine(bundle.graph("fp32")),
        "naive": open_rewritten(graph),
        "int8": open_on_cpu(bundle, "int8"),
    }
    with Dataset.open(test) as data:
        found = score_side_by_side(card, engines, data, "test")
    graph.unlink()
    threshold = card.thresholds.report
    f1 = {name: metric.at(threshold).f1 for name, metric in found.metrics.items()}
    scores = {name: grouped({s: m[name] for s, m in found.sequences.items()}, group) for name in engines}
    at = {name: {s: metric.at(threshold) for s, metric in metrics.items()} for name, metrics in scores.items()}
    values = (
        run.name,
        f"{bundle.card.backbone} x{bundle.card.width:g}",
        f"{f1['fp32']:.4f}",
        f"{f1['int8']:.4f}",
        interval(paired_difference(at["fp32"], at["int8"]).to_json()),
        f"{found.changed} of {found.reported}",
        f"{f1['naive']:.4f}",
        interval(paired_difference(at["fp32"], at["naive"]).to_json()),
        chosen["ranges"] + (", fine-tuned" if chosen.get("qat", {}).get("kept") else ""),
        ", ".join(chosen.get("higher_precision", [])) or "-",
        f"{100 * bundle.description['int8_share']:.1f} %",
    )
    return dict(zip(HEADS, values, strict=True))


def grouped(metrics: dict[str, CentreDistance], group: str | None) -> dict[str, CentreDistance]:
    """One metric for all sequences of a group."""
    if group is None:
        return metrics
    joined: dict[str, CentreDistance] = {}
    for name, metric in metrics.items():
        match = re.search(group, name)
        joined.setdefault(match[1] if match else name, CentreDistance()).extend(metric)
    return joined


def naive_inputs(card: ModelCard, data: Dataset) -> np.ndarray:
    """(NAIVE, C, h, w) float32: raw counts, stretched to the input's range, cut to the smallest frame."""
    rng = np.random.default_rng(0)
    sequences = data.sequences("train")
    frames = []
    for i in rng.integers(0, len(sequences), NAIVE):
        sequence = sequences[int(i)]
        frames.append(data.frames(sequence)[int(rng.integers(0, sequence.length))].astype(np.float32))
    height, width = (min(f.shape[a] for f in frames) // card.stride * card.stride for a in (0, 1))
    cut = np.stack([f[:height, :width] for f in frames])
    scaled = (cut - cut.min()) / max(float(np.ptp(cut)), 1.0) * INPUT_RANGE
    return np.repeat(scaled[:, None], card.input.channels, axis=1)


def interval(difference: dict) -> str:
    """In points of F1."""
    if difference["low"] is None:
        return f"{100 * difference['f1']:+.2f} (too few clips)"
    return f"{100 * difference['f1']:+.2f} ({100 * difference['low']:+.2f} to {100 * difference['high']:+.2f})"


def write(out: Path, rows: list[dict[str, object]]) -> None:
    """table.json and table.md."""
    (out / "table.json").write_text(json.dumps(rows, indent=2))
    lines = [HEADS, ("---",) * len(HEADS), *(tuple(r.values()) for r in rows)]
    (out / "table.md").write_text("".join(f"| {' | '.join(map(str, line))} |\n" for line in lines))


if __name__ == "__main__":
    main()
