"""irdim-train crop."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from irdim_train.commands.progress import progress_bar


def command(
    data: Annotated[Path, typer.Argument(help="Data set (folder).")],
    out: Annotated[Path, typer.Option(help="Patch file (folder) to write; one that is there is replaced.")] = Path(
        "patches"
    ),
    size: Annotated[
        int, typer.Option(help="Side of a patch, px: a multiple of 8. The paper compares 80, 64, 32, 16.")
    ] = 80,
    frame_step: Annotated[
        int,
        typer.Option(
            help="Frames between neighbours of a stack. Longer shows slower targets: a difference cancels what moves less than its size."
        ),
    ] = 4,
    register: Annotated[
        bool, typer.Option(help="Align older frames with the newest first, for a moving camera.")
    ] = True,
    background: Annotated[float, typer.Option(help="Background patches per target patch.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same patches.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Cut stacks of four frames around targets, and of background, from the train and val sequences.

    Example: irdim-train crop data --size 80 --frame-step 4 --out patches
    """
    from irdim.dataset import Dataset
    from irdim_train.crop import crop

    with Dataset.open(data) as dataset, progress_bar("crop") as bar:
        task = bar.add_task("crop", total=len(dataset.sequences("train")) + len(dataset.sequences("val")))
        result = crop(
            dataset,
            out,
            size=size,
            frame_step=frame_step,
            register=register,
            background=background,
            seed=seed,
            progress=lambda sequence: bar.update(task, advance=1, description=f"crop {sequence.name}"),
        )
    if as_json:
        print(json.dumps({"patches_path": str(out), **result}))
        return
    table = Table("patches", "with target", "background", "train", "val", "size", "MB")
    megabytes = (out / "stacks.npy").stat().st_size / 1e6
    numbers = (result[k] for k in ("patches", "with_target", "background", "train", "val", "size"))
    table.add_row(*(str(n) for n in numbers), f"{megabytes:.0f}")
    Console().print(table)
    Console().print(f"next: irdim-train fit {out}", highlight=False)
