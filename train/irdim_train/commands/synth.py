"""irdim-train synth."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from irdim.console import stdout_console
from irdim.errors import InputError
from irdim.wording import quoted
from irdim_train.commands.progress import progress_bar

SKY, CAMERA, TARGETS, SENSOR, PATCHES = (
    "Sky",
    "Camera",
    "Targets and what mimics them",
    "Sensor",
    "Patches straight away",
)
PATCH_OPTIONS = ("stacks", "target_share", "val_share", "patch_size", "frame_step", "register")


def command(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="Folder to write to: one folder a sequence, or the patch file.")],
    sequences: Annotated[int, typer.Option(help="How many.")] = 8,
    frames: Annotated[int, typer.Option(help="Frames of each.")] = 60,
    size: Annotated[str, typer.Option(metavar="WxH", help="Width and height, px.")] = "160x128",
    interval: Annotated[float, typer.Option(help="Seconds between frames.")] = 0.04,
    seed: Annotated[int, typer.Option(help="Same seed and options, same bytes.")] = 0,
    preset: Annotated[
        str | None, typer.Option(help="paper: 89,510 stacks of 640x512x4. Options given beside it win.")
    ] = None,
    scale: Annotated[float, typer.Option(help="Share of the preset's stacks.")] = 1.0,
    label_errors: Annotated[
        float, typer.Option(help="Wrong labels planted per labelled target, with a ledger of them beside the data.")
    ] = 0.0,
    workers: Annotated[int | None, typer.Option(help="Processes; by default as many as gain.", min=1)] = None,
    clouds: Annotated[
        float,
        typer.Option(help="Radiance of a cloud over the sky, in sigmas of the noise; 0: clear.", rich_help_panel=SKY),
    ] = 15.0,
    layers: Annotated[int, typer.Option(help="Layers of cloud.", rich_help_panel=SKY)] = 2,
    edges: Annotated[str, typer.Option(help="Of clouds: soft, hard, or mixed.", rich_help_panel=SKY)] = "mixed",
    wind: Annotated[
        float,
        typer.Option(help="Largest motion of a cloud layer over the sky, px per frame.", rich_help_panel=SKY),
    ] = 0.1,
    horizon: Annotated[
        float | None,
        typer.Option(help="Share of the height above the horizon; without it sky alone.", rich_help_panel=SKY),
    ] = None,
    glint: Annotated[
        float, typer.Option(help="Glow of the sun, in sigmas; sparks below it.", rich_help_panel=SKY)
    ] = 0.0,
    drift: Annotated[
        float, typer.Option(help="Motion of the camera over the sky, px per frame.", rich_help_panel=CAMERA)
    ] = 0.5,
    pan: Annotated[
        float, typer.Option(help="Sideways sweep to and fro on top of it, px per frame.", rich_help_panel=CAMERA)
    ] = 0.0,
    jitter: Annotated[float, typer.Option(help="Scatter of its pointing, px.", rich_help_panel=CAMERA)] = 0.05,
    targets: Annotated[
        int, typer.Option(help="Up to this many in the frame at about the same time.", rich_help_panel=TARGETS)
    ] = 2,
    snr: Annotated[
        float, typer.Option(help="Peak of a target over the sensor's noise, in sigmas.", rich_help_panel=TARGETS)
    ] = 5.0,
    scr: Annotated[
        float | None,
        typer.Option(
            help="Local SCR as it is measured on the frames, clouds included; instead of --snr.",
            rich_help_panel=TARGETS,
        ),
    ] = None,
    polarity: Annotated[str, typer.Option(help="hot, cold, or both.", rich_help_panel=TARGETS)] = "both",
    psf: Annotated[str, typer.Option(help="Point spread: gaussian or airy.", rich_help_panel=TARGETS)] = "gaussian",
    extent: Annotated[
        float,
        typer.Option(
            help="Largest extent of a target before the optics blur it, sigma in px.", rich_help_panel=TARGETS
        ),
    ] = 1.1,
    elongation: Annotated[
        float, typer.Option(help="The most that a target is wider than high, such as 3.", rich_help_panel=TARGETS)
    ] = 1.0,
    speed: Annotated[
        float, typer.Option(help="Motion of a target over the sky, px per frame.", rich_help_panel=TARGETS)
    ] = 1.0,
    exposure: Annotated[
        float, typer.Option(help="Share of the interval over which motion smears.", rich_help_panel=TARGETS)
    ] = 0.5,
    manoeuvres: Annotated[
        float, typer.Option(help="Share of targets that turn, weave or jink.", rich_help_panel=TARGETS)
    ] = 0.5,
    crossing: Annotated[
        float, typer.Option(help="Share of targets that cross another's way.", rich_help_panel=TARGETS)
    ] = 0.0,
    occlusion: Annotated[
        float, typer.Option(help="Share of targets that fly behind clouds.", rich_help_panel=TARGETS)
    ] = 0.2,
    knots: Annotated[
        int, typer.Option(help="Cloud knots that look like targets, at about the same time.", rich_help_panel=TARGETS)
    ] = 1,
    bits: Annotated[int, typer.Option(help="Depth: 8, 12, 14 or 16.", rich_help_panel=SENSOR)] = 14,
    noise: Annotated[
        float | None,
        typer.Option(help="Sigma of the noise on the clear sky in counts, rounding included.", rich_help_panel=SENSOR),
    ] = None,
    shot: Annotated[
        float, typer.Option(help="Share of its variance that grows with the radiance.", rich_help_panel=SENSOR)
    ] = 0.3,
    fixed_pattern: Annotated[
        float, typer.Option(help="Sigma of the fixed pattern, in sigmas of the noise.", rich_help_panel=SENSOR)
    ] = 0.3,
    column_noise: Annotated[
        float, typer.Option(help="Sigma of each frame's column noise, in sigmas.", rich_help_panel=SENSOR)
    ] = 0.1,
    bad_pixels: Annotated[
        float, typer.Option(help="Share of pixels that are dead or flicker.", rich_help_panel=SENSOR)
    ] = 1e-4,
    shutter: Annotated[float, typer.Option(help="Shutter events per 1,000 frames.", rich_help_panel=SENSOR)] = 0.0,
    gain_steps: Annotated[
        float, typer.Option(help="Steps of the automatic gain per 1,000 frames.", rich_help_panel=SENSOR)
    ] = 0.0,
    stripes: Annotated[
        float, typer.Option(help="Bursts of electromagnetic stripes per 1,000 frames.", rich_help_panel=SENSOR)
    ] = 0.0,
    patches: Annotated[
        bool, typer.Option("--patches", help="Patches for fit instead of sequences.", rich_help_panel=PATCHES)
    ] = False,
    stacks: Annotated[int, typer.Option(help="How many.", rich_help_panel=PATCHES)] = 4000,
    target_share: Annotated[
        float, typer.Option(help="Share of them that holds a target.", rich_help_panel=PATCHES)
    ] = 0.5,
    val_share: Annotated[float, typer.Option(help="Share of them for validation.", rich_help_panel=PATCHES)] = 0.05,
    patch_size: Annotated[int, typer.Option(help="Side, px: a multiple of 8.", rich_help_panel=PATCHES)] = 80,
    frame_step: Annotated[int, typer.Option(help="Frames between neighbours of a stack.", rich_help_panel=PATCHES)] = 4,
    register: Annotated[bool, typer.Option(help="Align older frames with the newest.", rich_help_panel=PATCHES)] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Generate sequences whose truth is known: clouds, a moving camera, dim targets, a noisy sensor.

    Each becomes a folder with frames.npy, times.npy, boxes.csv (targets; what mimics them is interference) and truth.json. With
    --patches a patch file that irdim-train fit takes is written instead, without rendering whole frames.

    Examples: irdim-train synth recordings --sequences 8 --frames 60 --size 160x128 --snr 5 --speed 1

    irdim-train synth patches --patches --preset paper --scale 0.01
    """
    from irdim_train.synth import SynthOptions
    from irdim_train.synth.presets import preset as preset_named

    given = {name for name in context.params if _was_given(context, name)}
    _check_goes_together(given, patches, preset)
    chosen = None if preset is None else preset_named(preset)
    values: dict[str, Any] = dict(context.params)
    values["width"], values["height"] = _sides(size)
    if chosen is not None:
        given_too = given | ({"width", "height"} if "size" in given else set()) | ({"scr"} if "snr" in given else set())
        values.update({name: value for name, value in chosen.options.items() if name not in given_too})
    options = SynthOptions(**{f.name: values[f.name] for f in dataclasses.fields(SynthOptions)})
    if patches:
        from irdim_train.synth.presets import shares

        counts = chosen.counts(scale) if chosen else shares(stacks, target_share, val_share)
        _patches(out, options, counts, values, as_json)
    else:
        _sequences(out, options, chosen.counts(scale) if chosen else None, values, as_json)


def _sequences(out: Path, options: Any, counts: Any, values: dict[str, Any], as_json: bool) -> None:
    from irdim_train.synth.presets import stack_jobs
    from irdim_train.synth.write import sequence_jobs, write_jobs

    jobs = sequence_jobs(options, values["sequences"]) if counts is None else stack_jobs(options, counts)
    with progress_bar("synth") as bar:
        task = bar.add_task("synth", total=len(jobs))
        result = write_jobs(
            out,
            jobs,
            lambda name: bar.update(task, advance=1, description=f"synth {name}"),
            values["workers"],
        )
    names = ["sequences", "already_there", "frames", "targets", "target_boxes", "interference_boxes"]
    if options.label_errors:
        names.append("label_errors")
    splits = "" if counts is None else " --val 'val-*'"
    _print(result, names, f"irdim-train import {quoted(out)} --out data{splits}", as_json)


def _patches(out: Path, options: Any, counts: Any, values: dict[str, Any], as_json: bool) -> None:
    from irdim_train.synth.patches import write_patches

    with progress_bar("synth") as bar:
        task = bar.add_task("synth patches", total=counts.total)
        result = write_patches(
            out,
            options,
            counts,
            size=values["patch_size"],
            frame_step=values["frame_step"],
            register=values["register"],
            progress=lambda stacks: bar.update(task, advance=stacks),
            workers=values["workers"],
        )
    names = ["patches", "with_target", "background", "train", "val", "size"]
    _print({"patches_path": str(out), **result}, names, f"irdim-train fit {quoted(out)}", as_json)


def _print(result: dict[str, Any], names: list[str], then: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    console = stdout_console(soft_wrap=True)
    table = Table(*(name.replace("_", " ") for name in names))
    table.add_row(*(str(result[name]) for name in names))
    console.print(table)
    console.print(f"next: {then}")


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _check_goes_together(given: set[str], patches: bool, preset: str | None) -> None:
    """Options that would have no effect are refused by name."""
    wrong = [(n, "is for --patches") for n in PATCH_OPTIONS if not patches]
    wrong += [(n, "is for sequences, not for --patches") for n in ("sequences", "frames", "shutter") if patches]
    if preset is None:
        wrong.append(("scale", "scales a --preset"))
    else:
        wrong += [
            (n, "is decided by the --preset and --scale") for n in ("sequences", "stacks", "target_share", "val_share")
        ]
    if "scr" in given:
        wrong.append(("snr", "and --scr ask for the same thing; give one of them"))
    for name, why in wrong:
        if name in given:
            raise InputError(f"--{name.replace('_', '-')} {why}")


def _sides(size: str) -> tuple[int, int]:
    sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if not sides:
        raise InputError(f"--size {size}: write WIDTHxHEIGHT, e.g. 160x128")
    return int(sides[1]), int(sides[2])
