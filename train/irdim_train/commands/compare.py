"""irdim-train compare."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from irdim.console import stdout_console
from irdim.errors import InputError

Number = TypeVar("Number", int, float)


def command(
    data: Annotated[list[Path], typer.Argument(help="Data set, or several: each is a line of the table.")],
    out: Annotated[
        Path, typer.Option(help="Folder for patches, runs, results and the page. Run again to go on.")
    ] = Path("comparison"),
    backbones: Annotated[str, typer.Option(help="Comma-separated, or all.")] = "all",
    sizes: Annotated[str, typer.Option(help="Patch sizes, px.")] = "80,64,32,16",
    inputs: Annotated[str, typer.Option(help="single, sequence, difference, difference+frame.")] = "difference+frame",
    widths: Annotated[str, typer.Option(help="Multipliers of every layer's channels.")] = "0.5",
    frame_steps: Annotated[str, typer.Option(help="Frames between neighbours of a stack.")] = "4",
    register: Annotated[str, typer.Option(help="Align older frames first: yes, no or both.")] = "yes",
    seeds: Annotated[int, typer.Option(help="Trainings of each cell, with seeds 0, 1, ...")] = 1,
    epochs: Annotated[float, typer.Option(help="Budget of each training.")] = 10.0,
    minutes: Annotated[
        float | None, typer.Option(help="Budget of each training in minutes, instead of --epochs.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Patches a step.")] = 64,
    whole_frames: Annotated[
        float,
        typer.Option(
            help="Share of the steps, the last ones, that go on with whole frames. 0: patches alone, as the paper does."
        ),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a grid of backbones, patch sizes and inputs under one budget: the paper's Table 2 and Fig. 12 on your data.

    Each is scored on patches of its own size, as the paper does, and on whole frames of other scenes, as a user needs. What is done stays
    done: the same command goes on where it was stopped.

    Example: irdim-train compare data --backbones darknet19,mobilenet --sizes 80,32 --minutes 5

    Example: irdim-train compare data --backbones darknet19 --sizes 80 --inputs single,sequence,difference,difference+frame
    """
    from irdim_train.backbones import BACKBONES
    from irdim_train.comparing import Budget, Cell, compare, make_grid
    from irdim_train.comparing.summary import PROTOCOL, table, write_summary

    if register not in ("yes", "no", "both"):
        raise InputError(f"--register {register}: yes, no or both")
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: 1 or more")
    cells = make_grid(
        data,
        list(BACKBONES) if backbones == "all" else _names(backbones),
        _numbers("--widths", widths, float),
        _numbers("--sizes", sizes, int),
        _names(inputs),
        _numbers("--frame-steps", frame_steps, int),
        {"yes": [True], "no": [False], "both": [False, True]}[register],
        list(range(seeds)),
    )
    names = [cell.name for cell in cells]

    def show(cell: Cell, text: str) -> None:
        print(
            f"compare: {names.index(cell.name) + 1} of {len(cells)}, {cell.name}: {text}", file=sys.stderr, flush=True
        )

    out.mkdir(parents=True, exist_ok=True)
    results, failed = compare(cells, Budget(epochs, minutes, batch, whole_frames), out, stage=show)
    rows = write_summary(out, results, failed, shlex.join(["irdim-train", *sys.argv[1:]]))
    if as_json:
        print((out / "compare.json").read_text())
    elif rows:
        shown = table(rows)
        printed = Table(*shown.heads)
        for line in shown.rows:
            printed.add_row(*(str(cell) for cell in line))
        console = stdout_console()
        console.print(printed)
        console.print(PROTOCOL)
        console.print(f"page: {out / 'compare.html'}", soft_wrap=True)
    if failed:
        raise InputError(f"{len(failed)} of {len(cells)} could not be trained; first {next(iter(failed.items()))[1]}")


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(option: str, text: str, kind: type[Number]) -> list[Number]:
    try:
        return [kind(part) for part in _names(text)]
    except ValueError:
        raise InputError(f"{option} {text}: comma-separated numbers") from None
