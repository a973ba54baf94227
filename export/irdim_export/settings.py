"""The settings of an INT8 graph, chosen on validation frames: how ranges are read, and which layers stay in FP32."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from irdim.bundle import GRAPHS, ModelCard
from irdim.dataset import Dataset
from irdim.engines import open_engine
from irdim.metrics import Score, paired_difference
from irdim_calibration.select import CalibrationSet
from irdim_export.parity import score_side_by_side
from irdim_export.quantise import METHODS, quantise
from irdim_export.sensitive import leave_in_fp32, most_sensitive

AUTO = "auto"
MOST_FRAMES = 500  # validation frames on which settings are compared
WORTH = 0.002  # F1 that INT8 may cost before --qat fine-tunes
TUNED_FOR = "percentile"  # the ranges that fine_tune rounds by
PAYS = 0.002  # F1 by which layers in FP32 must better the graph, beyond chance
LEFT = (1, 3)  # how many of the most sensitive layers are tried in FP32


def quantise_best(
    card: ModelCard,
    folder: Path,
    calibration: CalibrationSet,
    data: Dataset,
    ranges: str,
    *,
    sensitive: bool,
    fine_tuned: Callable[[Path], None] | None = None,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Write the INT8 graph beside the FP32 one. ranges: a method, or 'auto'; sensitive: look for layers that are better left in FP32; fine_tuned: writes an
    FP32 graph with weights that bear INT8, where rounding alone costs much. Returns the choice and the scores it rests on, for bundle.json."""
    fp32, int8 = folder / GRAPHS["fp32"], folder / GRAPHS["int8"]
    split = "val" if data.sequences("val") else "train"
    methods = tuple(METHODS) if ranges == AUTO else (ranges,)
    graphs = {method: folder / f"{method}.onnx" for method in methods}
    for method, graph in graphs.items():
        progress(f"calibrating on {len(calibration.inputs)} patches, {method} ranges")
        quantise(fp32, graph, calibration, method)
    chosen: dict[str, Any] = {"ranges": ranges}
    if ranges == AUTO:
        progress(f"comparing {', '.join(methods)} ranges on at most {MOST_FRAMES} {split} frames")
        f1, counted, _ = _compare(card, graphs, data, split)
        best = max(methods, key=lambda method: f1[method])
        chosen = {"ranges": best, "tried": {"split": split, **counted, "f1": f1}}
    shutil.move(graphs.pop(chosen["ranges"]), int8)
    for graph in graphs.values():
        graph.unlink()
    source = fp32
    if fine_tuned is not None:
        source, qat = _fine_tune(card, folder, calibration, data, split, fine_tuned, progress)
        chosen |= {"qat": qat} | ({"ranges": TUNED_FOR} if qat["kept"] else {})
    if sensitive:
        chosen |= _leave_sensitive(card, folder, source, calibration, data, split, progress)
    if source != fp32:
        source.unlink()
    return chosen


def _fine_tune(
    card: ModelCard,
    folder: Path,
    calibration: CalibrationSet,
    data: Dataset,
    split: str,
    fine_tuned: Callable[[Path], None],
    progress: Callable[[str], None],
) -> tuple[Path, dict[str, Any]]:
    """Fine-tune where INT8 costs more than WORTH, and keep what scores better. Returns the FP32 graph that INT8 now stands for, and what was found."""
    graphs = {name: folder / graph for name, graph in GRAPHS.items()}
    progress(f"comparing FP32 and INT8 on at most {MOST_FRAMES} {split} frames")
    f1, counted, _ = _compare(card, graphs, data, split)
    found: dict[str, Any] = {"split": split, **counted, "f1": f1, "kept": False}
    if f1["fp32"] - f1["int8"] <= WORTH:
        progress(
            f"no fine-tuning: INT8 costs {100 * (f1['fp32'] - f1['int8']):.2f} points of F1, at most {100 * WORTH:g} are left alone"
        )
        return graphs["fp32"], found
    source, tuned = folder / "tuned.onnx", folder / "tuned.int8.onnx"
    fine_tuned(source)
    quantise(source, tuned, calibration, TUNED_FOR)
    found["f1"], _, _ = _compare(card, {**graphs, "qat": tuned}, data, split)
    found["kept"] = found["f1"]["qat"] > found["f1"]["int8"]
    if not found["kept"]:
        source.unlink()
        tuned.unlink()
        return graphs["fp32"], found
    shutil.move(tuned, graphs["int8"])
    return source, found


def _leave_sensitive(
    card: ModelCard,
    folder: Path,
    source: Path,
    calibration: CalibrationSet,
    data: Dataset,
    split: str,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Try the graph with its most sensitive layers as they are in `source`, FP32, and keep that where it pays."""
    int8 = folder / GRAPHS["int8"]
    progress("looking for sensitive layers")
    ranked = most_sensitive(source, int8, calibration.inputs)
    graphs = {"int8": int8}
    for count in LEFT:
        graphs[str(count)] = folder / f"left-{count}.onnx"
        leave_in_fp32(source, int8, graphs[str(count)], [name for name, _ in ranked[:count]])
    progress(f"comparing {' and '.join(map(str, LEFT))} of them in FP32 on at most {MOST_FRAMES} {split} frames")
    f1, counted, per_sequence = _compare(card, graphs, data, split)
    gains = {c: paired_difference(per_sequence["int8"], per_sequence[str(c)]) for c in LEFT}
    best = next((c for c in LEFT if gains[c].f1 >= PAYS and gains[c].clear), None)
    if best is not None:
        shutil.move(graphs.pop(str(best)), int8)
    for count in LEFT:
        graphs.get(str(count), int8.with_name("-")).unlink(missing_ok=True)
    left = [name for name, _ in ranked[: best or 0]]
    decibels = {name: round(gain, 2) for name, gain in ranked[: max(LEFT)]}
    return {"higher_precision": left, "sensitive": {"split": split, **counted, "decibels": decibels, "f1": f1}}


def _compare(
    card: ModelCard, graphs: dict[str, Path], data: Dataset, split: str
) -> tuple[dict[str, float], dict[str, int], dict[str, dict[str, Score]]]:
    """F1 of each graph at the report threshold; on how many frames and sequences; and each graph's score of each sequence."""
    engines = {name: open_engine(graph) for name, graph in graphs.items()}
    found = score_side_by_side(card, engines, data, split, most_frames=MOST_FRAMES)
    threshold = card.thresholds.report
    scores = {name: metric.at(threshold) for name, metric in found.metrics.items()}
    counted = {"frames": next(iter(scores.values())).frames, "sequences": len(found.sequences)}
    per_sequence = {name: {s: m[name].at(threshold) for s, m in found.sequences.items()} for name in graphs}
    return {name: round(score.f1, 6) for name, score in scores.items()}, counted, per_sequence
