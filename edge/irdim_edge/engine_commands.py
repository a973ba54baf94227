"""irdim-edge build, inspect and bench: what a bundle is, the engine that this device makes of it, and how fast that is."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from irdim.bundle import GRAPHS, Bundle
from irdim.console import stdout_console
from irdim.engines import Engine
from irdim.engines.building import open_built
from irdim.engines.choice import engine_graph, tensorrt_is_there
from irdim.engines.options import BuildOptions, parse_size, size_text
from irdim.native.input import native
from irdim.registration.kernels import NativeKernels, the_kernels
from irdim.signing import read_public_key
from irdim.wording import number_of
from irdim_edge.config import STARTER_FOLDER
from irdim_edge.wording import WITHOUT_TENSORRT, reworded

BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle (folder) that irdim-export made.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DEFAULTS = BuildOptions()
TIMED = 20  # runs


def build(
    bundle: BundleFolder,
    precision: Annotated[str, typer.Option(help="Which of its graphs: int8 or fp32.")] = "int8",
    half: Annotated[bool, typer.Option("--half/--no-half", help="FP16 for what is not INT8.")] = True,
    workspace: Annotated[int, typer.Option(help="MB of scratch memory that tactics may take.")] = DEFAULTS.workspace_mb,
    size: Annotated[str, typer.Option(help="Frame size that it is tuned for.")] = size_text(DEFAULTS.usual),
    smallest: Annotated[str, typer.Option(help="Smallest frame that it takes.")] = size_text(DEFAULTS.smallest),
    largest: Annotated[str, typer.Option(help="Largest frame that it takes.")] = size_text(DEFAULTS.largest),
    again: Annotated[bool, typer.Option("--again", help="Build it even where it is there already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the TensorRT engine of a bundle on this device, and check it against ONNX Runtime on the bundle's sample frames.

    It is kept in the user's cache, irdim/engines, and these options beside it. From a bundle's last build on, irdim-edge run takes that engine, and builds it
    anew with the same options where it is damaged or of another TensorRT; the engine of a bundle that was never built gets the defaults.

    Example: irdim-edge build bundles/first --size 640x512
    """
    loaded = Bundle.load(bundle)
    options = BuildOptions(half, workspace, parse_size(smallest), parse_size(size), parse_size(largest))
    graph = engine_graph(loaded, precision)
    console = Console(stderr=True, highlight=False)
    with console.status("building: minutes on a Jetson"), reworded(WITHOUT_TENSORRT):
        built = open_built(graph, options, again=again)
    height, width = options.padded(graph.stride)[1]
    milliseconds = 1e3 * seconds_a_run(built.engine, (graph.channels, height, width))
    found: dict[str, Any] = {
        "engine": str(built.path),
        "name": built.engine.name,
        "bundle": loaded.digest,
        "precision": precision,
        "seconds": round(built.seconds, 1),
        "agreement": asdict(built.agreement),
        "milliseconds": round(milliseconds, 3),
        "size": size,
    }
    if as_json:
        print(json.dumps(found))
        return
    how = f"built in {built.seconds:.0f} s" if built.seconds else "was there already (--again builds it anew)"
    print(f"{built.path}: {built.engine.name}, {precision}, {how}")
    print(f"agrees with ONNX Runtime: {built.agreement}; {milliseconds:.2f} ms a frame of {size}")


def inspect(
    bundle: BundleFolder,
    trusted: Annotated[
        list[str] | None, typer.Option(help="Public key, or its file, that must have signed; several.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle's digests and its signature, and print all that is in it.

    Example: irdim-edge inspect bundles/first
    """
    found = Bundle.load(bundle, [read_public_key(key) for key in trusted or []])
    if as_json:
        print(json.dumps({"digest": found.digest, "signed_by": found.signed_by, **found.description}))
        return
    console = stdout_console()
    table = Table(show_header=False)
    for _ in range(2):
        table.add_column(overflow="fold")
    for row in _facts(found):
        table.add_row(*row)
    console.print(table)
    if any("f1" in found.scores.get(name, {}) for name in GRAPHS):
        console.print(_scores(found))
    files = Table("file", "bytes", "SHA-256")
    files.columns[2].overflow = "fold"
    for name, digest in found.files.items():
        files.add_row(name, f"{(found.path / name).stat().st_size:,}", digest)
    console.print(files)


def bench(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="Bundle (folder); by default the one that comes with irdim.")
    ] = None,
    size: Annotated[str, typer.Option(help="Frame size.")] = size_text(DEFAULTS.usual),
    frames: Annotated[int, typer.Option(min=2, help="Frames of each of the rounds.")] = 20,
    threads: Annotated[
        int, typer.Option(min=0, help="Of ONNX Runtime; 0: as the daemon chooses, the engine alone with all cores.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure the whole pipeline (input, engine, decoding, tracks) beside the bare engine, in turns in one run: frames/s, and each stage.

    Every graph of the bundle on every engine that this machine has. Frames are generated, 16 bits, flat out.

    Example: irdim-edge bench bundles/first --size 640x512
    """
    from irdim_edge.benchmark import measure

    loaded, (height, width) = Bundle.load(bundle or STARTER_FOLDER), parse_size(size)
    engines = ("onnxruntime", "tensorrt") if tensorrt_is_there() else ("onnxruntime",)
    console, found = Console(stderr=True, highlight=False), []
    for engine in engines:
        for precision in GRAPHS:
            with console.status(f"{precision} on {engine}"):
                found.append(
                    measure(
                        loaded, precision=precision, engine=engine, threads=threads, size=(height, width), frames=frames
                    )
                )
    if as_json:
        print(json.dumps({"bundle": loaded.digest, "size": size, "measured": [asdict(m) for m in found]}))
        return
    table = Table("", *(f"{m.precision}, {m.engine}" for m in found))
    table.add_row("pipeline, frames/s", *(f"{m.pipeline:.1f}" for m in found))
    table.add_row("engine alone, frames/s", *(f"{m.bare:.1f}" for m in found))
    table.add_row("ratio", *(f"{m.ratio:.2f}" for m in found))
    table.add_row("engine's threads in the pipeline", *(str(m.threads) for m in found))
    for stage in found[0].milliseconds:
        table.add_row(f"{stage}, ms", *("{:.1f} ({:.1f})".format(*m.milliseconds[stage]) for m in found))
    alone = f"the engine alone has {number_of(threads, 'thread') if threads else 'all cores'}"
    compiled = native() and isinstance(the_kernels(), NativeKernels)
    step = "compiled for this CPU" if compiled else "NumPy, in part at least"
    table.caption = f"frames of {size}; p50 and, in brackets, p99; {alone}; input step on the host: {step}"
    stdout_console().print(table)


def seconds_a_run(engine: Engine, shape: tuple[int, int, int]) -> float:
    """Median of a few runs on noise, after one that does not count. shape: (C, H, W)."""
    image = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    engine.run(image)
    seconds = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        engine.run(image)
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))


def _facts(bundle: Bundle) -> list[tuple[str, str]]:
    card, said = bundle.card, bundle.description
    calibration = said.get("calibration", {})
    kinds = ", ".join(f"{n} {kind}" for kind, n in calibration.get("kinds", {}).items())
    registered = ", registered" if card.input.register else ""
    rows = [
        ("digest", bundle.digest),
        ("signed by", bundle.signed_by or "nobody"),
        ("format", f"{said['format']} {said['version']}"),
        ("made", f"{said.get('made_at', '?')} by {said.get('made_by', '?')}, run {said.get('run_digest', '?')[:12]}"),
        ("backbone", f"{card.backbone}, width {card.width:g}, stride {card.stride}"),
        ("input", f"{card.input.kind}, frame step {card.input.frame_step}{registered}"),
        ("history", f"{card.input.history} frames"),
        ("interval", f"{card.interval:g} s" if card.interval else "not stated"),
        ("thresholds", f"report {card.thresholds.report:.4f}, low {card.thresholds.low:.4f}"),
        (
            "score scale",
            f"slope {card.scale.slope:.3f}, offset {card.scale.offset:.3f}, evidence {'on' if card.evidence else 'off'}",
        ),
        (
            "ONNX",
            f"opset {said.get('opset', '?')}, {100 * said.get('int8_share', 0):.1f} % of the multiply-adds in INT8",
        ),
        ("nodes", ", ".join(f"{n} {kind}" for kind, n in said.get("nodes", {}).items())),
        (
            "calibration",
            f"{calibration.get('patches', '?')} patches ({kinds or 'kinds not stated'}), {calibration.get('ranges', '?')} ranges",
        ),
        ("calibration digest", str(calibration.get("digest", "?"))),
    ]
    if higher := calibration.get("higher_precision"):
        rows.append(("left in FP32", ", ".join(higher)))
    difference = bundle.scores.get("difference", {})
    if "f1" in difference:
        interval = (
            "" if difference["low"] is None else f" (95 %: {difference['low']:+.4f} to {difference['high']:+.4f})"
        )
        rows.append(("INT8 less torch, F1", f"{difference['f1']:+.4f}{interval}"))
    return rows


def _scores(bundle: Bundle) -> Table:
    scores = bundle.scores
    table = Table("graph", "F1", "precision", "recall", "false alarms/frame", "ms (exporting machine)")
    for name in ("torch", *GRAPHS):
        score = scores.get(name, {})
        if "f1" in score:
            values = (f"{score[k]:.4f}" for k in ("f1", "precision", "recall", "false_alarms_per_frame"))
            table.add_row(name, *values, f"{scores.get('milliseconds', {}).get(name, float('nan')):.1f}")
    score = scores["int8"]
    table.caption = f"{score.get('frames', '?')} frames ({scores.get('split', '?')}), {score.get('protocol', '')}"
    return table
