"""A run becomes a bundle: FP32 ONNX, INT8 ONNX, their scores on the same frames, and the description that binds them."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import irdim
from irdim.bundle import DESCRIPTION, FORMAT, GRAPHS, Bundle, write_description
from irdim.dataset import Dataset
from irdim.engines import open_engine
from irdim.files import sha256
from irdim.patches import Patches
from irdim_calibration.select import DEFAULT_COUNT, choose_patches
from irdim_export.graph import OPSET, write_onnx
from irdim_export.parity import score_side_by_side
from irdim_export.quantise import check_form, quantise
from irdim_train.evaluate import default_split
from irdim_train.runs import DESCRIPTION as RUN_DESCRIPTION
from irdim_train.runs import load_model, read_run
from irdim_train.staging import staged_folder


def export(
    run: Path,
    out: Path,
    *,
    method: str = "minmax",
    count: int = DEFAULT_COUNT,
    split: str | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Bundle:
    """Write the bundle `out` from a finished run.

    method: how activation ranges are read; count: calibration patches; split: where FP32 and INT8 are scored, the first of test, val and
    train that has sequences where it is None. Raises InputError where the run, its patches or its data set are missing.
    """
    description = read_run(run)
    model, card = load_model(run)
    patches = Patches.open(Path(description["patches"]))
    with Dataset.open(Path(description["data"])) as data, staged_folder(out, DESCRIPTION, FORMAT) as folder:
        fp32, int8 = folder / GRAPHS["fp32"], folder / GRAPHS["int8"]
        progress("writing ONNX")
        write_onnx(model, card.input.channels, fp32)
        progress(f"calibrating on {count} patches")
        calibration = choose_patches(patches, card.input, count)
        quantise(fp32, int8, calibration, method)
        split = split or default_split(data)
        progress(f"scoring FP32 and INT8 on the {split} frames")
        scores = score_side_by_side(card, {"fp32": open_engine(fp32), "int8": open_engine(int8)}, data, split)
        extra: dict[str, Any] = {
            "made_by": f"irdim {irdim.__version__}",
            "made_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "run_digest": sha256(run / RUN_DESCRIPTION),
            "opset": OPSET,
            "nodes": check_form(int8),
            "calibration": {"patches": len(calibration.rows), "digest": calibration.digest, "ranges": method},
        }
        write_description(folder, card, scores, extra)
    return Bundle.load(out)
