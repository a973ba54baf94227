"""A run becomes a bundle: FP32 ONNX, INT8 ONNX, their scores on the same frames, and the description that binds them."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import irdim
from irdim.bundle import (
    CPU_GRAPH,
    DESCRIPTION,
    FORMAT,
    GRAPHS,
    HALF_GRAPH,
    OTHERS,
    REPORT,
    SAMPLES,
    SIGNATURE,
    WHOLE_GRAPH,
    Bundle,
    ModelCard,
    write_description,
)
from irdim.dataset import Dataset
from irdim.engines import open_engine
from irdim.engines.agreement import compare_engines
from irdim.errors import InputError
from irdim.files import sha256
from irdim.patches import Patches
from irdim.signing import Signer
from irdim_calibration.select import choose_patches
from irdim_export.cpu import open_rewritten, write_cpu
from irdim_export.equalise import equalise
from irdim_export.fine_tune import Course, fine_tune
from irdim_export.graph import OPSET, write_onnx
from irdim_export.half import write_half
from irdim_export.layers import convolutions, int8_share
from irdim_export.parity import check_scorable, score_side_by_side
from irdim_export.quantise import METHODS, check_form
from irdim_export.report import write_parity_report
from irdim_export.samples import write_samples
from irdim_export.settings import AUTO, MOST_FRAMES, Trial, quantise_best
from irdim_export.telling import counted
from irdim_export.whole import write_whole
from irdim_train.batch_norm import whole_inputs
from irdim_train.evaluate import default_split
from irdim_train.fit import open_reader
from irdim_train.runs import DESCRIPTION as RUN_DESCRIPTION
from irdim_train.runs import FitConfig, load_model, read_run
from irdim_train.staging import staged_folder
from irdim_train.torch_engine import TorchEngine

SIZE = (512, 640)  # (H, W) at which costs are told, the paper's
WHOLE_FRAMES = 24  # from which calibration tiles are cut


@dataclass(frozen=True)
class ExportOptions:
    """ranges: how activation ranges are read, 'auto' tries all ways on validation frames; calibration: patches, None for the default; split: where torch,
    FP32 and INT8 are scored, the first of test, val and train that has sequences where it is None; whole: also the graph with differencing inside;
    sensitive: look for layers that are better left in FP32; qat: epochs of fine-tuning where INT8 costs much, 0 for none; signer: who signs the bundle."""

    ranges: str = AUTO
    calibration: int | None = None
    split: str | None = None
    whole: bool = False
    sensitive: bool = True
    qat: float = 0.0
    signer: Signer | None = None

    def __post_init__(self) -> None:
        if self.ranges not in (AUTO, *METHODS):
            raise InputError(f"ranges '{self.ranges}' are not known; choose one of {', '.join((AUTO, *METHODS))}")
        if not 0 <= self.qat < 1000:
            raise InputError(f"--qat {self.qat:g}: epochs, 0 or more")


def export(
    run: Path,
    out: Path,
    options: ExportOptions | None = None,
    *,
    progress: Callable[[str], None] = lambda stage: None,
) -> Bundle:
    """Write the bundle `out` from a finished run, whole or not at all. Raises InputError where the run, its patches or its data set are missing, do not
    fit together, or an option makes no sense."""
    options = options or ExportOptions()
    description = read_run(run)
    model, card = load_model(run)
    patches = Patches.open(Path(description["patches"]))
    _check_same_input(patches, card)
    with (
        Dataset.open(Path(description["data"])) as data,
        staged_folder(out, DESCRIPTION, FORMAT, (*GRAPHS.values(), *OTHERS, SIGNATURE)) as folder,
    ):
        split = options.split or default_split(data)
        if not data.sequences(split):
            raise InputError(f"{data.path}: no sequences in split '{split}' to score on; choose another --score-on")
        if options.qat and not data.sequences("val"):
            raise InputError(f"{data.path}: no validation sequences, which --qat is judged on; export without it")
        settings_split = "val" if data.sequences("val") else "train"
        check_scorable(card, data, split)
        check_scorable(card, data, settings_split, MOST_FRAMES)
        fp32, int8 = folder / GRAPHS["fp32"], folder / GRAPHS["int8"]
        progress("writing ONNX")
        write_onnx(model, card.input.channels, fp32)
        progress("choosing calibration patches")
        wholes = list(whole_inputs(card, data, WHOLE_FRAMES))
        calibration = choose_patches(patches, card.input, options.calibration, wholes=wholes)
        equalised = equalise(model, calibration.inputs)
        source = folder / "equalised.onnx"
        write_onnx(equalised, card.input.channels, source)

        def tune(rounded: Path, path: Path) -> None:
            progress(f"fine-tuning for {options.qat:g} epochs")
            course = _course(FitConfig(**description["config"]), patches, card, options.qat)

            def told(step: int, total: int) -> None:
                if step % max(total // 8, 1) == 0:
                    progress(f"fine-tuning: step {step} of {total}")

            write_onnx(fine_tune(equalised, rounded, course, told), card.input.channels, path)

        chosen = {"patches": len(calibration.inputs), "kinds": calibration.kinds, "digest": calibration.digest}
        trial = Trial(card, folder, source, calibration, data, settings_split, progress)
        chosen |= quantise_best(
            trial, options.ranges, sensitive=options.sensitive, fine_tuned=tune if options.qat else None
        )
        source.unlink()
        write_samples(folder / SAMPLES, card, data, settings_split)
        _write_others(folder, card)
        if options.whole:
            write_whole(int8, card.input, folder / WHOLE_GRAPH)
        what = "scoring torch, FP32 and INT8"
        progress(f"{what} on the {split} frames")
        engines = {"torch": TorchEngine(model), "fp32": open_engine(fp32), "int8": open_rewritten(int8)}
        parity = score_side_by_side(card, engines, data, split, counted(progress, what))
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
        scores = parity.to_json(card.thresholds.report)
        unsealed = Bundle(folder, "", card, scores, extra)
        write_parity_report(folder / REPORT, unsealed, data, parity, layers, SIZE)
        write_description(folder, card, scores, extra, options.signer)
        Bundle.load(folder)  # whatever is wrong with it must not leave the workstation
    return Bundle.load(out)


def _course(config: FitConfig, patches: Patches, card: ModelCard, epochs: float) -> Course:
    """The run's own, gone on with: on what it ended on, whole frames or patches, in another order."""
    ended = replace(config, whole=1.0 if config.whole else 0.0)
    reader = open_reader(patches, card.input, ended, card.stride)
    steps = max(round(epochs * len(patches.rows("train")) / config.batch), 1)
    return Course(reader, steps, config.seed + 1, config.augment, config.a, config.b)


def _check_same_input(patches: Patches, card: ModelCard) -> None:
    """The patches must be cut as the network was trained. Raises InputError."""
    for key in ("frame_step", "register"):
        theirs, own = patches.description.get(key), getattr(card.input, key)
        if theirs is not None and theirs != own:
            raise InputError(
                f"{patches.path}: cut with {key} {theirs}, but the run was trained with {own}; crop again as it was, or fit again"
            )


def _write_others(folder: Path, card: ModelCard) -> None:
    """The INT8 graph for CPUs, and for TensorRT versions that take types from the graph; left out where one does not say the same, as where FP16 does not
    hold its values."""
    int8, samples = folder / GRAPHS["int8"], Bundle(folder, "", card, description={"files": {SAMPLES: ""}}).samples()
    for name, write in ((CPU_GRAPH, write_cpu), (HALF_GRAPH, write_half)):
        write(int8, folder / name)
        if not compare_engines(open_engine(int8), open_engine(folder / name), samples, card.stride).holds:
            (folder / name).unlink()
