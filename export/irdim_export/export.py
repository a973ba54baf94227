"""A run becomes a bundle: FP32 ONNX, INT8 ONNX, their scores on the same frames, and the description that binds them."""

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import irdim
from irdim.bundle import DESCRIPTION, FORMAT, GRAPHS, Bundle, ModelCard, write_description
from irdim.dataset import Dataset
from irdim.engines import open_engine
from irdim.errors import InputError
from irdim.files import sha256
from irdim.patches import Patches
from irdim_calibration.select import DEFAULT_COUNT, CalibrationSet, choose_patches
from irdim_export.graph import OPSET, write_onnx
from irdim_export.layers import convolutions, int8_share
from irdim_export.parity import score_side_by_side
from irdim_export.quantise import METHODS, check_form, quantise
from irdim_export.report import write_parity_report
from irdim_train.evaluate import default_split
from irdim_train.runs import DESCRIPTION as RUN_DESCRIPTION
from irdim_train.runs import load_model, read_run
from irdim_train.staging import staged_folder
from irdim_train.torch_engine import TorchEngine

AUTO = "auto"
SIZE = (512, 640)  # (H, W) at which costs are told, the paper's
REPORT = "parity.html"


def export(
    run: Path,
    out: Path,
    *,
    ranges: str = AUTO,
    count: int = DEFAULT_COUNT,
    split: str | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Bundle:
    """Write the bundle `out` from a finished run.

    ranges: how activation ranges are read, 'auto' tries all ways on the validation frames; count: calibration patches; split: where torch, FP32 and
    INT8 are scored, the first of test, val and train that has sequences where it is None. Raises InputError where the run, its patches or its data
    set are missing, or an option makes no sense.
    """
    if ranges not in (AUTO, *METHODS):
        raise InputError(f"ranges '{ranges}' are not known; choose one of {', '.join((AUTO, *METHODS))}")
    description = read_run(run)
    model, card = load_model(run)
    patches = Patches.open(Path(description["patches"]))
    with Dataset.open(Path(description["data"])) as data, staged_folder(out, DESCRIPTION, FORMAT) as folder:
        split = split or default_split(data)
        if not data.sequences(split):
            raise InputError(f"{data.path}: no sequences in split '{split}' to score on; choose another --score-on")
        fp32, int8 = folder / GRAPHS["fp32"], folder / GRAPHS["int8"]
        progress("writing ONNX")
        write_onnx(model, card.input.channels, fp32)
        progress(f"calibrating on {count} patches")
        calibration = choose_patches(patches, card.input, count)
        chosen = {"patches": len(calibration.rows), "digest": calibration.digest, "ranges": ranges}
        if ranges == AUTO:
            chosen |= _best_ranges(card, folder, calibration, data, progress)
        else:
            quantise(fp32, int8, calibration, ranges)
        progress(f"scoring torch, FP32 and INT8 on the {split} frames")
        engines = {"torch": TorchEngine(model), "fp32": open_engine(fp32), "int8": open_engine(int8)}
        parity = score_side_by_side(card, engines, data, split)
        layers = convolutions(int8, SIZE)
        extra: dict[str, Any] = {
            "made_by": f"irdim {irdim.__version__}",
            "made_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "run_digest": sha256(run / RUN_DESCRIPTION),
            "opset": OPSET,
            "nodes": check_form(int8),
            "int8_share": round(int8_share(layers), 4),
            "calibration": chosen,
        }
        write_description(folder, card, parity.to_json(card.thresholds.report), extra)
        write_parity_report(folder / REPORT, Bundle.load(folder), data, parity, layers, SIZE)
    return Bundle.load(out)


def _best_ranges(
    card: ModelCard, folder: Path, calibration: CalibrationSet, data: Dataset, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Quantise in every way, keep the graph that scores best on the validation frames. Returns the choice and the scores."""
    split = "val" if data.sequences("val") else "train"
    graphs = {}
    for method in METHODS:
        graphs[method] = folder / f"{method}.onnx"
        quantise(folder / GRAPHS["fp32"], graphs[method], calibration, method)
    progress(f"trying {', '.join(METHODS)} ranges on the {split} frames")
    found = score_side_by_side(card, {m: open_engine(g) for m, g in graphs.items()}, data, split)
    f1 = {method: round(metric.at(card.thresholds.report).f1, 6) for method, metric in found.metrics.items()}
    best = max(METHODS, key=lambda method: f1[method])
    shutil.move(graphs.pop(best), folder / GRAPHS["int8"])
    for graph in graphs.values():
        graph.unlink()
    return {"ranges": best, "tried": {"split": split, "f1": f1}}
