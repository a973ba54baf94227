"""The whole loop, once, by the commands that a user would type: python tools/demo.py [--source RECORDINGS]. Everything lands in demo/."""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from commands import output_of
from demo_report import write_demo_report
from rich.console import Console
from rich.table import Table

from irdim.command_line import run_command
from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim_edge.config import commented_config

DEMO = Path(__file__).resolve().parents[1] / "demo"
BEFORE = DEMO.with_name("demo-before")
GENERATED = ("--frames", 48, "--size", "160x128", "--speed", 1, "--polarity", "hot")
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Stage:
    """One command of the loop: its name, what it took, what came of it."""

    name: str
    seconds: float
    figures: str


class Loop:
    """Runs commands, shows them, and keeps what they did."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def call(self, *words: object) -> str:
        """Run one irdim command with its progress on the screen; returns what it printed. Its failure ends the demo with its own exit code."""
        command = [_shown(w) if isinstance(w, Path) else str(w) for w in words]
        console.print(f"\n[bold]$ {' '.join(command)}[/bold]")
        begun = time.monotonic()
        output = output_of(*command)
        if "--json" not in command:
            print(output, end="")
        self.stages.append(
            Stage(" ".join(str(w) for w in words[:2] if isinstance(w, str)), time.monotonic() - begun, "")
        )
        return output

    def note(self, figures: str) -> None:
        """Add the figures of the command that ran last."""
        last = self.stages[-1]
        self.stages[-1] = Stage(last.name, last.seconds, figures)
        console.print(f"  {figures}")


def demo(
    source: Annotated[
        Path | None, typer.Option(help="Your own recordings with boxes, instead of generated ones.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Budget of the training.")] = 1.5,
) -> None:
    """Turn the whole loop once, from sequences to the next questions for a reviewer."""
    if source is not None and not source.exists():
        raise InputError(f"{source}: there is no such file or folder; give SOURCE=path of your recordings")
    if source is not None and any(source.resolve().is_relative_to(folder) for folder in (DEMO, BEFORE)):
        raise InputError(f"{source}: lies in the demo's own folder, which every run begins anew; copy it elsewhere")
    if DEMO.exists():  # may hold what somebody has decided in review
        shutil.rmtree(BEFORE, ignore_errors=True)
        DEMO.rename(BEFORE)
        console.print(f"the demo of before: {BEFORE}")
    DEMO.mkdir()
    loop = Loop()
    recordings = source or _generate(loop)
    data = DEMO / "data"
    _import(loop, recordings, data, generated=source is None)
    split = _split_to_show(data)
    step, network = (2, ("--preset", "nano")) if source is None else (4, ())

    patches = DEMO / "patches"
    loop.call("irdim-train", "crop", data, "--size", 80, "--frame-step", step, "--out", patches)
    cut = _read(patches / "patches.json")
    loop.note(f"{cut['patches']} patches, {cut['with_target']} with a target")
    if not cut["with_target"]:
        raise InputError(
            f"{recordings}: no boxes found, so there is nothing to learn; put a boxes.csv (frame,label,x,y,width,height) into each sequence's folder"
        )

    run = DEMO / "run"
    loop.call("irdim-train", "fit", patches, *network, "--minutes", minutes, "--out", run)
    fitted = _read(run / "run.json")
    loop.note(f"{fitted['steps']} steps, loss {fitted['loss']:.2f}")

    score = json.loads(loop.call("irdim-train", "evaluate", run, "--split", split, "--json"))
    loop.note(
        f"F1 {score['f1']:.3f}, precision {score['precision']:.3f}, recall {score['recall']:.3f} ({score['protocol']}, {score['frames']} {split} frames)"
    )

    bundle = DEMO / "bundle"
    loop.call("irdim-export", run, "--int8", "--score-on", split, "--out", bundle)
    scores = _read(bundle / "bundle.json")["scores"]
    loop.note(f"F1 of FP32 {scores['fp32']['f1']:.3f}, of INT8 {scores['int8']['f1']:.3f}")

    config = _edge_config(_camera(loop, data, generated=source is None), bundle)
    summary = json.loads(loop.call("irdim-edge", "run", config, "--json"))
    loop.note(
        f"{summary['frames']} frames, {summary['detections'] - summary['interference']} targets and {summary['interference']} times "
        f"interference reported, suspects: {sum(summary['suspects'].values())}"
    )
    loop.call("irdim-edge", "upload", config)
    depot = DEMO / "depot"
    depot.mkdir(exist_ok=True)  # a run without suspects uploads nothing
    loop.note(f"{len(list(depot.glob('*.irlog')))} field logs in {_shown(depot)}")
    loop.call("irdim-train", "ingest", f"file://{depot}", "--data", data)
    with Dataset.open(data) as opened:
        loop.note(f"new sequences, each with a question: {len(opened.queue_items('open'))}")
    items = json.loads(loop.call("irdim-train", "review", data, "--json", "--picture", DEMO / "items"))
    loop.note(f"questions that wait for a decision: {len(items)}; irdim-train review {_shown(data)}")

    write_demo_report(DEMO, loop.stages, split)
    table = Table("stage", "seconds", "figures", title="the loop, once")
    for stage in loop.stages:
        table.add_row(stage.name, f"{stage.seconds:.1f}", stage.figures)
    table.add_row("together", f"{sum(s.seconds for s in loop.stages):.0f}", f"report: {_shown(DEMO / 'report.html')}")
    console.print()
    console.print(table)


def _generate(loop: Loop) -> Path:
    out = DEMO / "recordings"
    loop.call("irdim-train", "synth", out, "--sequences", 24, *GENERATED, "--snr", 6, "--seed", 1)
    loop.note("24 sequences of 48 frames, 160x128, 14 bit, peak 6 sigma")
    return out


def _import(loop: Loop, recordings: Path, data: Path, generated: bool) -> None:
    splits = ("--val", "*-02[01]", "--test", "*-02[23]") if generated else ()
    loop.call("irdim-train", "import", recordings, "--out", data, *splits)
    with Dataset.open(data) as opened:
        sequences = opened.sequences()
    loop.note(f"{len(sequences)} sequences, {sum(s.length for s in sequences)} frames")


def _split_to_show(data: Path) -> str:
    """The first of test, val and train that has sequences."""
    with Dataset.open(data) as opened:
        return next(s for s in ("test", "val", "train") if opened.sequences(s))


def _camera(loop: Loop, data: Path, generated: bool) -> list[Path]:
    """What the daemon sees: newly generated sequences, or the first two training ones of the user's. Never a test sequence: what the daemon
    sends back is trained on."""
    if not generated:
        with Dataset.open(data) as opened:
            return [data / "frames" / f"{s.name}.npy" for s in opened.sequences("train")[:2]]
    out = DEMO / "field"
    loop.call("irdim-train", "synth", out, "--sequences", 2, *GENERATED, "--snr", 4, "--seed", 2)
    loop.note("2 sequences with dimmer targets than it has learnt, for the camera")
    return sorted(out.iterdir())


def _edge_config(paths: list[Path], bundle: Path) -> Path:
    """A daemon that replays these sequences as fast as it can."""
    config = DEMO / "edge.toml"
    values = {
        "device": "demo",
        "bundle": str(bundle),
        "out": "edge",
        "camera.paths": [str(p) for p in paths],
        "camera.rate": "flat-out",
        "upload.url": f"file://{DEMO / 'depot'}",
    }
    config.write_text(commented_config(values))
    return config


def _shown(path: Path) -> str:
    """As short as it can be written from here."""
    return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(demo)
    run_command(app)
