"""irdim-train evaluate."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.metrics import DEFAULT_RADIUS, PROTOCOLS, CentreDistance, Metric, open_metric
from irdim.wording import number_of
from irdim_train.commands.progress import progress_bar

if TYPE_CHECKING:  # torch is imported when the command runs
    from irdim.bundle import ModelCard
    from irdim_train.evaluated import Evaluated


def command(
    model: Annotated[Path, typer.Argument(help="Run or bundle.")],
    data: Annotated[
        Path | None, typer.Option(help="Data set; the default is the one that the run was trained on.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, val or test; by default the first of test, val, train that has sequences."),
    ] = None,
    radius: Annotated[
        list[float] | None, typer.Option(help="Centre distance that still counts, px; may be repeated. Default 3.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="iou-50, mask-centroid or centre-Rpx beside it; may be repeated (docs/metrics.md)."),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Report threshold; the default is the model's own.")] = None,
    precision: Annotated[str, typer.Option(help="int8 or fp32 (bundles).")] = "int8",
    evidence: Annotated[
        bool | None, typer.Option(help="Let scores take up their past, or not; the default is the model's own.")
    ] = None,
    detections: Annotated[
        Path | None, typer.Option(help="Also write every detection at the threshold as JSON lines.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Also write a folder with report.html, plots (PNG) and evaluation.json, under every protocol."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda (runs).")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Score a run or a bundle on the whole frames of a split: by centre distance, and other protocols as you like.

    Several processes or GPUs share the sequences: torchrun --nproc-per-node 4 --no-python irdim-train evaluate runs/first

    Example: irdim-train evaluate runs/first --split test --radius 3 --radius 6 --out evaluation
    """
    from irdim.dataset import Dataset
    from irdim_train.devices import choose_device
    from irdim_train.distributed import join_ranks
    from irdim_train.evaluate import default_split, evaluate
    from irdim_train.evaluated import evaluate_protocols
    from irdim_train.evaluation_report import DESCRIPTION, FORMAT, OWN, write_evaluation
    from irdim_train.models import open_model
    from irdim_train.staging import staged_folder

    if threshold is not None and not 0 < threshold <= 1:
        raise InputError(f"--threshold {threshold:g}: above 0, at most 1")
    radii = radius or [DEFAULT_RADIUS]
    protocols = _protocols(radii, [*(protocol or []), *(PROTOCOLS if out else [])])
    with contextlib.ExitStack() as stack:
        ranks = stack.enter_context(join_ranks(choose_device(device)))
        card, engine, trained_on = open_model(model, precision, str(ranks.device))
        card = _with_options(card, threshold, evidence)
        data = data or trained_on
        if data is None:
            raise InputError(f"{model}: a bundle does not know its data set; name one with --data")
        dataset = stack.enter_context(Dataset.open(data))
        if not ranks.first:
            evaluate(card, engine, dataset, split=split or default_split(dataset), radius=radii[0], ranks=ranks)
            return
        folder = stack.enter_context(staged_folder(out, DESCRIPTION, FORMAT, OWN)) if out else None
        bar = stack.enter_context(progress_bar("evaluate"))
        split = split or default_split(dataset)
        task = bar.add_task("evaluate", total=sum(s.length for s in dataset.sequences(split)))
        evaluated = evaluate_protocols(
            card,
            engine,
            dataset,
            split=split,
            radius=radii[0],
            others=protocols[1:],
            breakdown=folder is not None,
            ranks=ranks,
            progress=lambda sequence, n: bar.update(task, advance=n, description=f"evaluate {sequence.name}"),
        )
        if folder is not None:
            bar.update(task, description="report")
            write_evaluation(folder, model, dataset, evaluated)
    if detections is not None:
        _write_detections(detections, evaluated)
    if as_json:
        print(json.dumps(_answer(evaluated)))
    else:
        _show(evaluated, out)


def _protocols(radii: list[float], names: list[str]) -> list[str]:
    """Each once: centre distances first."""
    if min(radii) <= 0:
        raise InputError(f"--radius {min(radii):g}: above 0")
    wanted = [*(CentreDistance(r).protocol for r in radii), *names]
    return list(dict.fromkeys(open_metric(name).protocol for name in wanted))


def _with_options(card: "ModelCard", threshold: float | None, evidence: bool | None) -> "ModelCard":
    """The card with what the command line says, and every detection kept that a sweep needs."""
    from irdim.bundle import Thresholds
    from irdim.detector import FAINT

    report = threshold or card.thresholds.report
    thresholds = Thresholds(report, min(card.thresholds.low, report, FAINT))
    return dataclasses.replace(card, thresholds=thresholds, evidence=card.evidence if evidence is None else evidence)


def _answer(evaluated: "Evaluated") -> dict[str, Any]:
    rows = [_row(evaluated, metric) for metric in evaluated.metrics.values()]
    at, per_sequence = evaluated.threshold, evaluated.result.per_sequence
    return {
        **rows[0],
        "split": evaluated.split,
        "engine": evaluated.engine,
        "warming_frames": evaluated.result.warming,
        "protocols": rows,
        "sequences": {name: metric.at(at).to_json() for name, metric in per_sequence.items()},
    }


def _row(evaluated: "Evaluated", metric: Metric) -> dict[str, Any]:
    score, best = metric.at(evaluated.threshold), metric.best()
    intervals = {name: interval.to_json() for name, interval in evaluated.intervals[metric.protocol].items()}
    return {
        **score.to_json(),
        "best_f1": round(best.f1, 6),
        "best_threshold": best.threshold,
        "intervals": intervals,
    }


def _show(evaluated: "Evaluated", out: Path | None) -> None:
    from irdim_train.evaluation_report import chosen_there

    table = Table("protocol", "P", "R (Pd)", "F1", "95 %", "FA/frame", "best F1 (at)", box=SIMPLE, padding=(0, 1, 0, 0))
    for name, metric in evaluated.metrics.items():
        score, best = metric.at(evaluated.threshold), metric.best()
        rates = (score.precision, score.recall, score.f1)
        interval = evaluated.intervals[name]["f1"].text
        table.add_row(
            name,
            *(f"{rate:.3f}" for rate in rates),
            interval,
            f"{score.false_alarms_per_frame:.3f}",
            f"{best.f1:.3f} ({best.threshold:.3f})",
        )
    console = stdout_console()
    console.print(table)
    score, result = evaluated.result.metric.at(evaluated.threshold), evaluated.result
    hour = score.false_alarms_per_hour
    rate = f", {number_of(score.false_positives, 'false alarm')}" + ("" if hour is None else f" ({hour:,.0f} an hour)")
    console.print(
        f"At threshold {score.threshold:.3f}: {score.true_positives} of {number_of(score.targets, 'target')}{rate}.\n{number_of(score.frames, 'frame')} of "
        f"{number_of(len(result.per_sequence), 'sequence')} ({evaluated.split}), {result.warming} more without full history; {evaluated.engine}."
    )
    if evaluated.split != "test":
        console.print(chosen_there(evaluated.split))
    if out is not None:
        console.print(f"next: open {out / 'report.html'}", soft_wrap=True)


def _write_detections(path: Path, evaluated: "Evaluated") -> None:
    from irdim.files import atomic_file

    with atomic_file(path, "w") as file:
        for name, found in evaluated.result.found.items():
            for index, frame in found:
                reported = [
                    {"x": d.x, "y": d.y, "w": d.w, "h": d.h, "score": d.score, "label": d.label}
                    for d in frame
                    if d.score >= evaluated.threshold
                ]
                file.write(json.dumps({"sequence": name, "frame": index, "detections": reported}) + "\n")
