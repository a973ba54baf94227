"""irdim-train synth."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from irdim.errors import InputError
from irdim_train.commands.progress import progress_bar


def command(
    out: Annotated[Path, typer.Argument(help="Folder to write the sequences to, one folder each.")],
    sequences: Annotated[int, typer.Option(help="How many.")] = 8,
    frames: Annotated[int, typer.Option(help="Frames of each.")] = 60,
    size: Annotated[str, typer.Option(metavar="WxH", help="Width and height, px.")] = "160x128",
    snr: Annotated[float, typer.Option(help="Peak of a target over the sensor's noise, in sigmas.")] = 5.0,
    scr: Annotated[
        float | None, typer.Option(help="Peak over the local sigma, clouds included; instead of --snr.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Motion of a target over the sky, px per frame.")] = 1.0,
    targets: Annotated[int, typer.Option(help="Up to this many in the frame at about the same time.")] = 2,
    polarity: Annotated[str, typer.Option(help="hot, cold, or both.")] = "both",
    clouds: Annotated[
        float, typer.Option(help="Radiance of a cloud over the sky, in sigmas of the noise; 0: clear.")
    ] = 15.0,
    wind: Annotated[float, typer.Option(help="Largest motion of a cloud layer over the sky, px per frame.")] = 0.1,
    drift: Annotated[float, typer.Option(help="Motion of the camera over the sky, px per frame.")] = 0.5,
    jitter: Annotated[float, typer.Option(help="Scatter of the camera's pointing, px.")] = 0.05,
    bits: Annotated[int, typer.Option(help="Depth of the sensor: 8, 12, 14 or 16.")] = 14,
    noise: Annotated[
        float | None, typer.Option(help="Sigma of the sensor's noise in counts, rounding included.")
    ] = None,
    fixed_pattern: Annotated[float, typer.Option(help="Sigma of the fixed pattern, in sigmas of the noise.")] = 0.3,
    bad_pixels: Annotated[float, typer.Option(help="Share of pixels that are dead or flicker.")] = 1e-4,
    knots: Annotated[int, typer.Option(help="Cloud knots that look like targets, at about the same time.")] = 1,
    interval: Annotated[float, typer.Option(help="Seconds between frames.")] = 0.04,
    seed: Annotated[int, typer.Option(help="Same seed and options, same bytes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Generate sequences whose truth is known: clouds, a moving camera, dim targets, a noisy sensor.

    Each becomes a folder with frames.npy, times.npy, boxes.csv (targets; what mimics them is interference) and truth.json.

    Example: irdim-train synth recordings --sequences 8 --frames 60 --size 160x128 --snr 5 --speed 1
    """
    from irdim_train.synth import SynthOptions, write_sequences

    sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if not sides:
        raise InputError(f"--size {size}: write WIDTHxHEIGHT, e.g. 160x128")
    options = SynthOptions(
        frames=frames,
        width=int(sides[1]),
        height=int(sides[2]),
        bits=bits,
        snr=snr,
        scr=scr,
        speed=speed,
        targets=targets,
        polarity=polarity,
        clouds=clouds,
        wind=wind,
        drift=drift,
        jitter=jitter,
        noise=noise,
        fixed_pattern=fixed_pattern,
        bad_pixels=bad_pixels,
        knots=knots,
        interval=interval,
        seed=seed,
    )
    with progress_bar("synth") as bar:
        task = bar.add_task("synth", total=sequences)
        result = write_sequences(
            out, options, sequences, lambda name: bar.update(task, advance=1, description=f"synth {name}")
        )
    if as_json:
        print(json.dumps(result))
        return
    console = Console(highlight=False, soft_wrap=True)
    table = Table("sequences", "already there", "frames", "targets", "target boxes", "interference boxes")
    names = ("sequences", "already_there", "frames", "targets", "target_boxes", "interference_boxes")
    table.add_row(*(str(result[name]) for name in names))
    console.print(table)
    console.print(f"next: irdim-train import {out} --out data", markup=False)
