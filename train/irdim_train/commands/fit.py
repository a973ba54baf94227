"""irdim-train fit."""

import datetime
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.wording import number_of, quoted
from irdim_train.commands.progress import progress_bar

WHOLE_FRAMES = 0.5  # of the steps; half and more did alike on validation clips, none lost up to ten points of F1


def command(
    context: typer.Context,
    patches: Annotated[Path | None, typer.Argument(help="Patch file that irdim-train crop wrote.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run to write; the default is a new folder under runs/.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run, with its own options and patches.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Begin with the weights of this run, and take over its backbone, width and input; at any patch size. Or random, or starter: weights that "
            "learnt from generated sequences, the default where they ship for the network (half-width darknet19 and nano, of difference+frame).",
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            help="patch, or full: train on whole frames of the patches' data set alone; a batch holds as many pixels."
        ),
    ] = "patch",
    whole_frames: Annotated[
        float,
        typer.Option(
            help="Share of the steps, the last ones, that go on with whole frames. 0: patches alone, as the paper does, and the default for synth --patches."
        ),
    ] = WHOLE_FRAMES,
    freeze_norm: Annotated[bool, typer.Option(help="Keep the batch-norm statistics that --from brings.")] = False,
    backbone: Annotated[
        str, typer.Option(help="darknet19, resnet18, googlenet, squeezenet, mobilenet, efficientnet or nano.")
    ] = "darknet19",
    preset: Annotated[
        str | None,
        typer.Option(
            help="nano: the smallest network, for boards without a GPU. --backbone and --width beside it win."
        ),
    ] = None,
    width: Annotated[float, typer.Option(help="Multiplier of every layer's channels; 1.0 is the paper's.")] = 0.5,
    input: Annotated[
        str, typer.Option(help="single, sequence, difference (the paper's) or difference+frame.")
    ] = "difference+frame",
    epochs: Annotated[
        float | None,
        typer.Option(help="Passes over the training patches; by default ten, and 2,000 steps at least."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="A budget instead of --epochs.")] = None,
    batch: Annotated[int, typer.Option(help="Patches a step.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Peak rate, after a warm-up. The paper's is 1e-6.")] = 2e-3,
    a: Annotated[float, typer.Option(help="Weight of the location loss (Eq. 2).")] = 1.0,
    b: Annotated[float, typer.Option(help="Weight of the class loss (Eq. 2).")] = 1.0,
    augment: Annotated[
        bool, typer.Option(help="Mirror and turn the patches, add sensor noise, invert the contrast of some.")
    ] = True,
    lay_over: Annotated[
        float,
        typer.Option(help="Share of patches that another is laid over: real targets, dimmer, in other real skies."),
    ] = 0.0,
    false_alarms: Annotated[
        float | None,
        typer.Option(
            help="Choose the threshold at this many false alarms a frame on the validation frames; the default is best F1."
        ),
    ] = None,
    evidence: Annotated[
        bool, typer.Option(help="Let a detection's score take up its past; off scores every frame on its own.")
    ] = True,
    snapshots: Annotated[
        int,
        typer.Option(help="Keep the weights so many times on the way too: refine then uses the course of the loss."),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Same seed, same weights (on a CPU).")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    describe: Annotated[
        bool,
        typer.Option(
            "--describe", help="Print what each backbone costs and sees at this width and input, and train nothing."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a detector on patches, then choose its threshold on whole validation frames.

    A killed run goes on where it was: irdim-train fit --resume RUN

    Several processes or GPUs: torchrun --nproc-per-node 4 --no-python irdim-train fit patches

    Example: irdim-train fit patches --width 0.5 --minutes 10
    """
    from irdim.patches import Patches, read_description
    from irdim_train.devices import choose_device
    from irdim_train.distributed import join_ranks
    from irdim_train.fit import fit
    from irdim_train.runs import CHECKPOINT, DESCRIPTION, EPOCHS, LEAST_STEPS, FitConfig, read_run
    from irdim_train.starters import begin_with

    given = {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"}  # type: ignore[union-attr]
    begins = begin_with(start, {"backbone": backbone, "width": width, "input": input}, given, preset)
    if describe:
        _describe(
            begins["backbone"] if given & {"backbone", "preset"} else None, begins["width"], begins["input"], as_json
        )
        return
    if resume is not None:
        if own := given - {"resume", "device", "as_json"}:
            options = ", ".join(sorted(_as_written(p, context.params) for p in context.command.params if p.name in own))
            raise InputError(f"--resume goes on with the options of {resume}; leave out {options}")
        description = read_run(resume)
        config, out, patches = FitConfig(**description["config"]), resume, Path(description["patches"])
    elif patches is None:
        raise InputError("name a patch file (irdim-train fit PATCHES) or a run to go on with (--resume RUN)")
    elif {"epochs", "minutes"} <= given:
        raise InputError("--epochs and --minutes: choose one")
    elif size == "full" and "whole_frames" in given:
        raise InputError("--size full and --whole-frames: choose one")
    elif size not in ("patch", "full"):
        raise InputError(f"--size {size}: patch or full; another patch size needs another irdim-train crop --size")
    else:
        # what synth --patches wrote has a few whole frames for the statistics and the threshold, not to train on
        generated = "generated" in read_description(patches)
        config = FitConfig(
            **begins,
            epochs=EPOCHS if epochs is None else epochs,
            least_steps=LEAST_STEPS if epochs is None and minutes is None else 0,
            minutes=minutes,
            batch=batch,
            learning_rate=learning_rate,
            a=a,
            b=b,
            augment=augment,
            lay_over=lay_over,
            seed=seed,
            snapshots=snapshots,
            evidence=evidence,
            false_alarms=false_alarms,
            whole=1.0 if size == "full" else whole_frames if "whole_frames" in given or not generated else 0.0,
            freeze_norm=freeze_norm,
        )
        out = out or Path("runs") / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    bar = progress_bar("fit")
    task = bar.add_task("fit", total=None, note="")
    followed = {"loss": 0.0, "epoch_line": 0.0}

    def show(step: int, total: int, loss: float) -> None:
        followed["loss"] = loss if not followed["loss"] else 0.9 * followed["loss"] + 0.1 * loss
        bar.update(task, completed=step, total=total or None, note=f"loss {followed['loss']:.3f}")
        if bar.disable and total and step * 10 // total > followed["epoch_line"]:
            followed["epoch_line"] = step * 10 // total
            print(f"fit: step {step} of {total}, loss {followed['loss']:.3f}", file=sys.stderr, flush=True)

    def tell(text: str) -> None:
        if bar.disable:
            print(f"fit: {text}", file=sys.stderr, flush=True)
        else:
            bar.console.print(f"fit: {text}")

    try:
        with join_ranks(choose_device(device)) as ranks:
            out = ranks.from_first(out)
            if not ranks.first:
                fit(Patches.open(patches), out, config, ranks=ranks)
                return
            with bar:
                result = fit(Patches.open(patches), out, config, ranks=ranks, progress=show, stage=tell)
    except KeyboardInterrupt:
        if (out / CHECKPOINT).is_file():
            print(f"fit: stopped; go on with irdim-train fit --resume {quoted(out)}", file=sys.stderr)
        elif (out / DESCRIPTION).is_file():
            print(
                f"fit: stopped before its first checkpoint; irdim-train fit --resume {quoted(out)} begins again",
                file=sys.stderr,
            )
        raise
    if as_json:
        print(json.dumps({"run": str(out), **result}))
        return
    console = stdout_console()
    where, score = next(iter(result["scores"].items()))
    chosen = result["threshold_chosen"]
    console.print(f"{result['steps']} steps in {result['seconds']:.0f} s")
    console.print(
        f"{where}, {number_of(chosen['sequences'], 'sequence')} on which the threshold was chosen too: "
        f"F1 {score['f1']:.3f}, precision {score['precision']:.3f}, recall {score['recall']:.3f} "
        f"({score['protocol']}, threshold {score['threshold']:.3f}, {chosen['rule']})"
    )
    if not score["f1"]:
        console.print(
            "nothing was learnt: train longer (--epochs, --minutes), or look at the labels (irdim-train check)"
        )
        return
    console.print(f"next: irdim-train evaluate {quoted(out)}   |   irdim-export {quoted(out)} --int8", soft_wrap=True)


def _as_written(parameter: Any, values: dict[str, Any]) -> str:
    """A parameter of the command as a user writes it."""
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    switched_off = parameter.secondary_opts and values[parameter.name] is False
    return str((parameter.secondary_opts if switched_off else parameter.opts)[0])


def _describe(backbone: str | None, width: float, kind: str, as_json: bool) -> None:
    from irdim.differencing import InputSpec
    from irdim_train.backbones import BACKBONES
    from irdim_train.describe import describe

    channels = InputSpec(kind, 1, False).channels
    patch, frame = (80, 80), (512, 640)
    names = [backbone] if backbone else list(BACKBONES)
    rows = {name: describe(name, channels, width, (patch, frame)) for name in names}
    if as_json:
        print(
            json.dumps(
                {
                    name: {
                        "parameters": row.parameters,
                        "multiply_adds": {f"{w}x{h}": n for (h, w), n in row.multiply_adds.items()},
                        "receptive_field": row.receptive_field,
                    }
                    for name, row in rows.items()
                }
            )
        )
        return
    table = Table("backbone", "parameters", "multiply-adds 80x80", "multiply-adds 640x512", "receptive field")
    for name, row in rows.items():
        costs = (f"{row.multiply_adds[size] / 1e9:.3f} G" for size in (patch, frame))
        table.add_row(name, f"{row.parameters:,}", *costs, f"{row.receptive_field} px")
    console = stdout_console()
    console.print(table)
    console.print(f"width {width:g}, input {kind} ({channels} channels), stride 8")
