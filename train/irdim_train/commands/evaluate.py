"""irdim-train evaluate."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from irdim.bundle import Thresholds
from irdim.errors import InputError
from irdim_train.commands.progress import progress_bar


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
    threshold: Annotated[float | None, typer.Option(help="Report threshold; the default is the model's own.")] = None,
    precision: Annotated[str, typer.Option(help="int8 or fp32 (bundles).")] = "int8",
    evidence: Annotated[
        bool | None, typer.Option(help="Let scores take up their past, or not; the default is the model's own.")
    ] = None,
    detections: Annotated[
        Path | None, typer.Option(help="Also write every detection at the threshold as JSON lines.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda (runs).")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Score a run or a bundle on the whole frames of a split, by centre distance.

    Example: irdim-train evaluate runs/first --split test --radius 3 --radius 6
    """
    from irdim.dataset import Dataset
    from irdim.metrics import DEFAULT_RADIUS
    from irdim_train.evaluate import default_split, evaluate, rescore
    from irdim_train.models import open_model

    card, engine, trained_on = open_model(model, precision, device)
    if threshold is not None:
        if not 0 < threshold <= 1:
            raise InputError(f"--threshold {threshold:g}: above 0, at most 1")
        low = min(card.thresholds.low, threshold)
        card = dataclasses.replace(card, thresholds=Thresholds(threshold, low))
    if any(r <= 0 for r in radius or ()):
        raise InputError(f"--radius {min(radius or ()):g}: above 0")
    data = data or trained_on
    if evidence is not None:
        card = dataclasses.replace(card, evidence=evidence)
    if data is None:
        raise InputError(f"{model}: a bundle does not know its data set; name one with --data")
    radii = radius or [DEFAULT_RADIUS]
    with Dataset.open(data) as dataset, progress_bar("evaluate") as bar:
        split = split or default_split(dataset)
        task = bar.add_task("evaluate", total=sum(s.length for s in dataset.sequences(split)))
        result = evaluate(
            card,
            engine,
            dataset,
            split=split,
            radius=radii[0],
            progress=lambda sequence, n: bar.update(task, advance=n, description=f"evaluate {sequence.name}"),
        )
        at = card.thresholds.report
        metrics = [result.metric] + [rescore(result, dataset, split, r) for r in radii[1:]]
    if detections is not None:
        _write_detections(detections, result.detections, at)
    rows = [
        {**m.at(at).to_json(), "best_f1": round(m.best().f1, 6), "best_threshold": m.best().threshold} for m in metrics
    ]
    answer: dict[str, Any] = {
        **rows[0],
        "split": split,
        "engine": engine.name,
        "warming_frames": result.warming,
        "protocols": rows,
    }
    answer["sequences"] = {name: metric.at(at).to_json() for name, metric in result.per_sequence.items()}
    if as_json:
        print(json.dumps(answer))
        return
    table = Table(
        "protocol", "threshold", "precision", "recall", "F1", "false alarms/frame", "targets", "best F1 (its threshold)"
    )
    for row in rows:
        table.add_row(
            row["protocol"],
            f"{row['threshold']:.3f}",
            *(f"{row[k]:.4f}" for k in ("precision", "recall", "f1")),
            f"{row['false_alarms_per_frame']:.3f}",
            str(row["targets"]),
            f"{row['best_f1']:.4f} ({row['best_threshold']:.3f})",
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{rows[0]['frames']} frames of {len(result.per_sequence)} sequences ({split}), {result.warming} more without full history; {engine.name}"
    )


def _write_detections(path: Path, found: dict[tuple[str, int], list[Any]], threshold: float) -> None:
    from irdim.files import atomic_file

    with atomic_file(path, "w") as file:
        for (name, index), frame in found.items():
            reported = [
                {"x": d.x, "y": d.y, "w": d.w, "h": d.h, "score": d.score, "label": d.label}
                for d in frame
                if d.score >= threshold
            ]
            file.write(json.dumps({"sequence": name, "frame": index, "detections": reported}) + "\n")
