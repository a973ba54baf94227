"""The settings of an INT8 graph, chosen on validation frames: how ranges are read, and which layers stay in FP32."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irdim.bundle import GRAPHS, ModelCard
from irdim.dataset import Dataset
from irdim.engines import open_engine
from irdim.metrics import Score
from irdim_calibration.select import CalibrationSet
from irdim_export.cpu import open_rewritten
from irdim_export.parity import score_side_by_side
from irdim_export.quantise import METHODS, quantise
from irdim_export.sensitive import leave_in_fp32, most_sensitive

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

    ranges: a method, or 'auto': the one that risks the least, see `_Tried`. Where INT8 then costs more than WORTH: fine_tuned(int8, out) writes an FP32
    graph with weights that bear INT8, and with sensitive, layers are looked for that are better left in FP32; either is kept where it risks less.
    """
    methods = tuple(METHODS) if ranges == AUTO else (ranges,)
    graphs = {method: trial.folder / f"{method}.onnx" for method in methods}
    for method, graph in graphs.items():
        trial.progress(f"calibrating on {len(trial.calibration.inputs)} patches, {method} ranges")
        quantise(trial.source, graph, trial.calibration, method)
    tried = _compare(trial, graphs)
    best = min(methods, key=tried.risk)
    chosen: dict[str, Any] = {"ranges": best, "tried": tried.to_json()}
    shutil.move(graphs.pop(best), trial.int8)
    for graph in graphs.values():
        graph.unlink()
    source, loss = trial.source, tried.loss(best)
    if fine_tuned is not None and loss > WORTH:
        source, again = _fine_tune(trial, fine_tuned)
        chosen["qat"] = {**again.to_json(), "kept": source != trial.source}
        if source != trial.source:
            chosen["ranges"], loss = TUNED_FOR, again.loss("qat")
    if sensitive and loss > WORTH:
        chosen |= _leave_sensitive(trial, source)
    if source != trial.source:
        source.unlink()
    return chosen


def _fine_tune(trial: Trial, fine_tuned: Callable[[Path, Path], None]) -> tuple[Path, "_Tried"]:
    """Keep it where it risks less. Returns the FP32 graph that INT8 now stands for, and what was found."""
    source, tuned = trial.folder / "tuned.onnx", trial.folder / "tuned.int8.onnx"
    fine_tuned(trial.int8, source)
    quantise(source, tuned, trial.calibration, TUNED_FOR)
    tried = _compare(trial, {"int8": trial.int8, "qat": tuned})
    if tried.risk("qat") < tried.risk("int8"):
        shutil.move(tuned, trial.int8)
        return source, tried
    source.unlink()
    tuned.unlink()
    return trial.source, tried


def _leave_sensitive(trial: Trial, source: Path) -> dict[str, Any]:
    """Try the graph with its most sensitive layers as they are in `source`, FP32, and keep that where it lowers the risk by WORTH."""
    trial.progress("looking for sensitive layers")
    ranked = most_sensitive(source, trial.int8, trial.calibration.inputs)
    graphs = {str(count): trial.folder / f"left-{count}.onnx" for count in LEFT}
    for count in LEFT:
        leave_in_fp32(source, trial.int8, graphs[str(count)], [name for name, _ in ranked[:count]])
    tried = _compare(trial, {"int8": trial.int8, **graphs})
    best = next((count for count in LEFT if tried.risk("int8") - tried.risk(str(count)) >= WORTH), 0)
    if best:
        shutil.move(graphs.pop(str(best)), trial.int8)
    for graph in graphs.values():
        graph.unlink()
    decibels = {name: round(gain, 2) for name, gain in ranked[: max(LEFT)]}
    left = [name for name, _ in ranked[:best]]
    return {"higher_precision": left, "sensitive": {**tried.to_json(), "decibels": decibels}}


@dataclass(frozen=True)
class _Tried:
    """Graphs on the same frames at the report threshold. scores: of FP32 and each graph; changed: how many of the detections that FP32 or a graph reports
    only one of them does."""

    split: str
    sequences: int
    scores: dict[str, Score]
    changed: dict[str, int]

    def loss(self, name: str) -> float:
        """F1 of FP32 less that of a graph."""
        return self.scores[FP32].f1 - self.scores[name].f1

    def risk(self, name: str) -> float:
        """The loss and one standard deviation of what chance makes of it: with R reports and T targets F1 is 2 TP / (R + T), so each detection that went or
        came moves it by about 1 / (R + T), one way or the other. F1 alone moves by half a point by chance on so few frames; changes alone do not tell
        those that were for the worse."""
        fp32 = self.scores[FP32]
        reports = fp32.true_positives + fp32.false_positives
        return self.loss(name) + math.sqrt(self.changed[name]) / max(reports + fp32.targets, 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "frames": self.scores[FP32].frames,
            "sequences": self.sequences,
            "changed": self.changed,
            FP32: round(self.scores[FP32].f1, 6),
            "f1": {name: round(self.scores[name].f1, 6) for name in self.changed},
            "risk": {name: round(self.risk(name), 6) for name in self.changed},
        }


def _compare(trial: Trial, graphs: dict[str, Path]) -> _Tried:
    trial.progress(f"comparing {', '.join(graphs)} on at most {MOST_FRAMES} {trial.split} frames")
    engines = {FP32: open_engine(trial.fp32), **{name: open_rewritten(graph) for name, graph in graphs.items()}}
    found = score_side_by_side(trial.card, engines, trial.data, trial.split, most_frames=MOST_FRAMES)
    scores = {name: metric.at(trial.card.thresholds.report) for name, metric in found.metrics.items()}
    return _Tried(trial.split, len(found.sequences), scores, found.changed_by)
