"""irdim-export: the command line that makes bundles."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from irdim.bundle import Bundle
from irdim.console import stdout_console
from irdim.cuda.gpu import Gpu
from irdim.engines.building import open_built
from irdim.engines.choice import engine_graph
from irdim.engines.tensorrt_api import load_tensorrt
from irdim.errors import InputError
from irdim.signing import Signer
from irdim.wording import number_of, quoted

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def export(
    run: Annotated[
        Path | None, typer.Argument(help="Run to export; the newest finished one under runs/ by default.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="INT8 beside FP32: what a bundle always holds, so it need not be said.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Bundle to write; bundles/RUN by default.")] = None,
    ranges: Annotated[
        str,
        typer.Option(
            help="How activation ranges are read: minmax, percentile, entropy, mse or output; auto tries them all and keeps the best on the validation frames, "
            "which takes minutes."
        ),
    ] = "auto",
    calibration: Annotated[
        int | None, typer.Option(help="Calibration patches; 512 by default, and fewer than 500 only where you say so.")
    ] = None,
    score_on: Annotated[
        str | None, typer.Option(help="Split on which FP32 and INT8 are scored; test by default.")
    ] = None,
    sensitive: Annotated[
        bool, typer.Option("--sensitive/--all-int8", help="Leave layers in FP32 that lose much in INT8, where it pays.")
    ] = True,
    qat: Annotated[
        float,
        typer.Option(
            help="Epochs for which the training goes on as INT8, where that costs more than 0.2 points of F1; 0: none."
        ),
    ] = 0.0,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Also write model.whole.onnx: frames and noise scales in, for other runtimes."),
    ] = False,
    sign: Annotated[
        Path | None, typer.Option(help="Private key that signs the bundle (irdim-edge keygen makes one).")
    ] = None,
    engine: Annotated[
        bool, typer.Option("--engine", help="Also build the TensorRT engine for this machine's GPU, and check it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make a bundle for the edge from a run: FP32 and INT8 ONNX, digests, thresholds, scores.

    Example: irdim-export runs/first --int8 --out bundles/first
    """
    run = run or _newest_run()
    signer = Signer.load(sign) if sign else None
    if engine:  # before the work
        load_tensorrt()
        Gpu()
    from irdim_export.export import ExportOptions
    from irdim_export.export import export as make

    def show(stage: str) -> None:
        if not as_json:
            print(f"export: {stage}", file=sys.stderr, flush=True)

    out = out or Path("bundles") / run.resolve().name
    options = ExportOptions(ranges, calibration, score_on, whole, sensitive, qat, signer)
    before = _run_of(out)
    bundle = make(run, out, options, progress=show)
    built = None
    if engine:
        show("building the TensorRT engine")
        built = open_built(engine_graph(bundle, "int8"))
    if as_json:
        path = str(built.path) if built else None
        print(json.dumps({"bundle": str(out), "digest": bundle.digest, "engine": path, **bundle.description}))
        return
    console = stdout_console()
    table = Table("graph", "F1", "precision", "recall", "false alarms/frame", "ms/frame", "MB")
    for name in ("torch", "fp32", "int8"):
        score = bundle.scores[name]
        values = (f"{score[k]:.4f}" for k in ("f1", "precision", "recall", "false_alarms_per_frame"))
        size = "" if name == "torch" else f"{bundle.graph(name).stat().st_size / 1e6:.2f}"
        table.add_row(name, *values, f"{bundle.scores['milliseconds'][name]:.1f}", size)
    console.print(table)
    score, scores = bundle.scores["int8"], bundle.scores
    chosen = bundle.description["calibration"]
    console.print(
        f"{number_of(score['frames'], 'frame')} ({scores['split']}), {score['protocol']}, threshold {score['threshold']:.3f}; "
        f"{scores['changed']} of {scores['reported']} detections of torch and INT8 together differ by more than 1 px or the threshold"
    )
    kinds = ", ".join(f"{n} {kind}" for kind, n in chosen["kinds"].items())
    console.print(f"{chosen['ranges']} ranges from {chosen['patches']} calibration patches ({kinds})")
    if "tried" in chosen:
        tried = chosen["tried"]
        console.print(
            f"chosen on {tried['frames']} {tried['split']} frames of {number_of(tried['sequences'], 'sequence')}"
        )
    if chosen.get("higher_precision"):
        console.print(f"left in FP32, since it pays: {', '.join(chosen['higher_precision'])}")
    if scores["milliseconds"]["int8"] > scores["milliseconds"]["fp32"]:
        console.print(
            "INT8 is slower than FP32 on this machine's CPU: there, set precision = \"fp32\" in the edge's configuration"
        )
    if not score["f1"]:
        console.print("it finds nothing: the run has learnt nothing yet; train longer before it goes anywhere")
    if built:
        console.print(
            f"{built.path}: {built.engine.name}; agrees with ONNX Runtime: {built.agreement}",
            soft_wrap=True,
        )
    console.print(f"what changed, in pictures: {out / 'parity.html'}", soft_wrap=True)
    if before:
        whose = "this run" if before == bundle.description["run_digest"] else f"another run ({before[:12]})"
        console.print(f"note: it replaces a bundle of {whose}, which was there")
    console.print(
        f"bundle {out} ({bundle.digest[:12]}); next: irdim-edge config --bundle {quoted(out)}", soft_wrap=True
    )


def _run_of(out: Path) -> str:
    """Digest of the run that the bundle in a folder was made from; empty where there is none."""
    try:
        return str(Bundle.load(out).description.get("run_digest", ""))
    except InputError:
        return ""


def _newest_run() -> Path:
    runs = sorted(Path("runs").glob("*/model.pt"), key=lambda p: p.stat().st_mtime)
    if not runs:
        raise InputError("runs/: no finished run here; name one, or train one with irdim-train fit")
    return runs[-1].parent
