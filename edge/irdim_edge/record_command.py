"""irdim-edge record: what a camera sees, as sequences to begin with."""

import json
from pathlib import Path
from typing import Annotated

import typer

from irdim.errors import InputError
from irdim.wording import number_of, quoted
from irdim_edge.cameras import Live, open_camera
from irdim_edge.cameras.drivers import ADDRESSES, open_driver
from irdim_edge.config import load_config
from irdim_edge.recording import Recorded
from irdim_edge.recording import record as record_camera
from irdim_edge.terminal import status_line, stop_on_signals


def record(
    camera: Annotated[str, typer.Argument(help=f"{ADDRESSES}; or a configuration, whose camera it is.")],
    out: Annotated[Path, typer.Argument(help="Folder of the sequences.")],
    seconds: Annotated[float | None, typer.Option(min=0.001, help="Seconds to record; else until Ctrl-C.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames to record.")] = None,
    part: Annotated[float, typer.Option(min=1, help="Seconds after which a new sequence begins.")] = 600.0,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the camera, else 'camera'; the sequences begin with it. A configuration has its own."
        ),
    ] = None,
    keep_free: Annotated[int, typer.Option(min=0, help="Megabytes of the disk to leave free.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Record a camera, lossless and timed, as sequences that irdim-train import takes.

    Ctrl-C ends it; what a kill or a power cut leaves is finished by the next recording into the same folder.

    Example: irdim-edge record v4l2:/dev/video0 recordings --name west --seconds 600
    """
    stopping, source = stop_on_signals(), _open(camera, name)
    with status_line("waiting for the camera", quiet=as_json) as change:

        def text(recorded: Recorded) -> str:
            lost = source.counts["lost"] + recorded.overrun
            return f"{recorded.frames} frames  {recorded.bytes / 1e6:.0f} MB  {lost} lost  {source.trouble}"

        recorded = record_camera(
            source,
            out,
            stopping=stopping,
            frames=frames,
            seconds=seconds,
            part_seconds=part,
            keep_free=keep_free << 20,
            show=lambda recorded: change(lambda: text(recorded)),
        )
    counts = {key: count for key, count in source.counts.items() if count}
    if as_json:
        print(json.dumps({**vars(recorded), "camera": counts}))
    else:
        for old in recorded.finished:
            print(f"finished what an earlier recording left: {old}")
        lost = ", ".join(f"{n} {key}" for key, n in {**counts, "overrun": recorded.overrun}.items() if n) or "none lost"
        print(
            f"{number_of(recorded.frames, 'frame')} ({lost}) in {number_of(len(recorded.parts), 'sequence')} in {out}"
        )
    if not recorded.frames:
        raise InputError(f"{camera}: no frame came ({source.trouble or 'it was stopped before one did'})")
    if not as_json:
        print(f"next: irdim-train import {quoted(out)} --out data")


def _open(camera: str, name: str | None) -> Live:
    path = Path(camera)
    if path.suffix == ".toml" or path.is_file():
        if name is not None:
            raise InputError(f"--name {name}: the camera of a configuration has its name there (camera.name)")
        whole = load_config(path).camera.model_copy(update={"step": 1})  # every n-th is for the detector
        opened = open_camera(whole, None)
        if not isinstance(opened, Live):
            raise InputError(f"{camera}: its camera is a recording already; set camera.stream")
        return opened
    return Live(name or "camera", open_driver(camera))
