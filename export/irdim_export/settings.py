"""The settings of an INT8 graph, chosen on validation frames: how ranges are read, and which layers stay in FP32."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irdim.bundle import GRAPHS, ModelCard
from irdim.dataset import Dataset
from irdim.engines import open_engine
from irdim.metrics import Score, paired_difference
from irdim_calibration.ranges import histograms
from irdim_calibration.select import CalibrationSet
from irdim_export.cpu import open_rewritten
from irdim_export.parity import score_side_by_side
from irdim_export.quantise import METHODS, READ_HERE, quantise
from irdim_export.sensitive import leave_in_fp32, most_sensitive
from irdim_export.telling import counted

AUTO = "auto"
MOST_FRAMES = 1500  # validation frames on which settings are compared
WORTH = 0.002  # F1 that INT8 may cost before anything is done about it, and that layers in FP32 must bring
FP32 = "fp32"  # what each graph is compared with
TUNED_FOR = "output"  # how ranges are read for fine-tuned weights
LEFT = (1, 3)  # how many of the most sensitive layers are tried in FP32


@dataclass(frozen=True)
class Trial:
    """Where settings are tried. folder: holds the graphs; source: the FP32 graph that becomes INT8, which computes what the run's own does; split: whose
    frames compare them."""

    card: ModelCard
    folder: Path
    source: Path
    calibration: CalibrationSet
    data: Dataset
    split: str
    progress: Callable[[str], None]

    @property
    def fp32(self) -> Path:
        return self.folder / GRAPHS["fp32"]

    @property
    def int8(self) -> Path:
        return self.folder / GRAPHS["int8"]


def quantise_best(
    trial: Trial, ranges: str, *, sensitive: bool, fine_tuned: Callable[[Path, Path], None] | None = None
) -> dict[str, Any]:
    """Write the INT8 graph beside the FP32 one. Returns the choice and the scores it rests on, for bundle.json.

    ranges: a method, or 'auto': the one that changes the fewest detections. (F1 on so many frames moves by half a point by chance, as borderline
    detections go to and fro; how many do says more of what was lost.) Where INT8 then costs more than WORTH: fine_tuned(int8, out) writes an FP32 graph with
    weights that bear INT8, and with sensitive, layers are looked for that are better left in FP32.
    """
    methods = tuple(METHODS) if ranges == AUTO else (ranges,)
    graphs = {method: trial.folder / f"{method}.onnx" for method in methods}
    read = None
    if not READ_HERE.keys().isdisjoint(methods):  # once for all of them
        trial.progress(f"reading histograms of {len(trial.calibration.inputs)} patches")
        read = histograms(trial.source, trial.calibration.inputs)
    for method, graph in graphs.items():
        trial.progress(f"calibrating on {len(trial.calibration.inputs)} patches, {method} ranges")
        quantise(trial.source, graph, trial.calibration, method, read)
    f1, tried, _ = _compare(trial, graphs)
    whole = f1.pop(FP32)
    best = min(methods, key=lambda method: tried["changed"][method])
    chosen: dict[str, Any] = {"ranges": best, "tried": {**tried, FP32: whole, "f1": f1}}
    shutil.move(graphs.pop(best), trial.int8)
    for graph in graphs.values():
        graph.unlink()
    source, now = trial.source, f1[best]
    if fine_tuned is not None and whole - now > WORTH:
        source, chosen["qat"] = _fine_tune(trial, fine_tuned)
        if chosen["qat"]["kept"]:
            chosen["ranges"], now = TUNED_FOR, chosen["qat"]["f1"]["qat"]
    elif fine_tuned is not None:
        trial.progress(
            f"no fine-tuning: INT8 costs {100 * (whole - now):.2f} points of F1 on these frames, not more than {100 * WORTH:g}"
        )
    if sensitive and whole - now > WORTH:
        chosen |= _leave_sensitive(trial, source)
    if source != trial.source:
        source.unlink()
    return chosen


def _fine_tune(trial: Trial, fine_tuned: Callable[[Path, Path], None]) -> tuple[Path, dict[str, Any]]:
    """Keep it where F1 gains WORTH by it: that its detections change says nothing, since it has learnt on. Returns the FP32 graph that INT8 now
    stands for, and what was found."""
    source, tuned = trial.folder / "tuned.onnx", trial.folder / "tuned.int8.onnx"
    fine_tuned(trial.int8, source)
    quantise(source, tuned, trial.calibration, TUNED_FOR)
    f1, tried, _ = _compare(trial, {"int8": trial.int8, "qat": tuned})
    kept = f1["qat"] - f1["int8"] >= WORTH
    if kept:
        shutil.move(tuned, trial.int8)
    else:
        source.unlink()
        tuned.unlink()
    return source if kept else trial.source, {**tried, "f1": f1, "kept": kept}


def _leave_sensitive(trial: Trial, source: Path) -> dict[str, Any]:
    """Try the graph with its most sensitive layers as they are in `source`, FP32, and keep that where it pays beyond chance."""
    trial.progress("looking for sensitive layers")
    ranked = most_sensitive(source, trial.int8, trial.calibration.inputs)
    graphs = {str(count): trial.folder / f"left-{count}.onnx" for count in LEFT}
    for count in LEFT:
        leave_in_fp32(source, trial.int8, graphs[str(count)], [name for name, _ in ranked[:count]])
    f1, tried, per_sequence = _compare(trial, {"int8": trial.int8, **graphs})
    gains = {count: paired_difference(per_sequence["int8"], per_sequence[str(count)]) for count in LEFT}
    best = next((count for count in LEFT if gains[count].f1 >= WORTH and gains[count].clear), 0)
    if best:
        shutil.move(graphs.pop(str(best)), trial.int8)
    for graph in graphs.values():
        graph.unlink()
    decibels = {name: round(gain, 2) for name, gain in ranked[: max(LEFT)]}
    left = [name for name, _ in ranked[:best]]
    return {"higher_precision": left, "sensitive": {**tried, "decibels": decibels, "f1": f1}}


def _compare(
    trial: Trial, graphs: dict[str, Path]
) -> tuple[dict[str, float], dict[str, Any], dict[str, dict[str, Score]]]:
    """F1 of FP32 and each graph at the report threshold; on which frames, and how many of the detections that either reports each has changed; and each
    graph's score of each sequence."""
    what = f"comparing {', '.join(graphs)}"
    trial.progress(f"{what} on at most {MOST_FRAMES} {trial.split} frames")
    engines = {FP32: open_engine(trial.fp32), **{name: open_rewritten(graph) for name, graph in graphs.items()}}
    found = score_side_by_side(trial.card, engines, trial.data, trial.split, counted(trial.progress, what), MOST_FRAMES)
    threshold = trial.card.thresholds.report
    scores = {name: metric.at(threshold) for name, metric in found.metrics.items()}
    tried = {
        "split": trial.split,
        "frames": scores[FP32].frames,
        "sequences": len(found.sequences),
        "changed": found.changed_by,
    }
    per_sequence = {name: {s: m[name].at(threshold) for s, m in found.sequences.items()} for name in graphs}
    return {name: round(score.f1, 6) for name, score in scores.items()}, tried, per_sequence
