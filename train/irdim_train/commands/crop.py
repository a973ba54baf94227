"""irdim-train crop."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from irdim.console import stdout_console
from irdim.wording import quoted
from irdim_train.commands.progress import progress_bar


def command(
    data: Annotated[Path, typer.Argument(help="Data set (folder).")],
    out: Annotated[
        Path, typer.Option(help="Patch file (folder) to write. One of the same options that is there is gone on with.")
    ] = Path("patches"),
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
    hard_background: Annotated[
        float,
        typer.Option(
            help="Share of background patches (0 to 1) drawn where there is structure: cloud edges, horizons."
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same patches.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace the patch file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Cut stacks of four frames around targets, and of background, from the train and val sequences.

    Crop again when the data set has new sequences or labels: only what is missing is cut, what no longer holds is retired, and the stacks that
    are there stay as they are.

    Example: irdim-train crop data --size 80 --frame-step 4 --hard-background 0.5 --out patches
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
            hard_background=hard_background,
            seed=seed,
            fresh=fresh,
            progress=lambda sequence: bar.update(task, advance=1, description=f"crop {sequence.name}"),
        )
    if as_json:
        print(json.dumps({"patches_path": str(out), **result}))
        return
    _show(result, out)


def _show(result: dict[str, Any], out: Path) -> None:
    from irdim.patches import STACKS_FILE

    console = stdout_console()
    table = Table("patches", "with target", "background", "hard", "train", "val", "size", "MB")
    megabytes = (out / STACKS_FILE).stat().st_size / 1e6
    names = ("patches", "with_target", "background", "hard", "train", "val", "size")
    table.add_row(*(str(result[name]) for name in names), f"{megabytes:.0f}")
    console.print(table)
    changes = (("added", "added"), ("relabelled", "with other labels"), ("retired", "retired"), ("kept", "kept"))
    console.print(", ".join(f"{result[name]} {what}" for name, what in changes), highlight=False)
    if result["moved"] or result["lost"]:
        console.print(
            f"{result['moved']} targets share a cell of the grid and are left to a free neighbour; "
            f"{result['lost']} find none and cannot be learnt",
            highlight=False,
        )
    if not result["with_target"]:
        console.print(
            "no target to learn: irdim-train label proposes first labels, irdim-train check says what there is",
            highlight=False,
        )
        return
    again = result["kept"] or result["retired"]  # a run of what was there before does not go on with what is there now
    more = " --from RUN --out ANOTHER, where a run of these patches is to learn on" if again and result["added"] else ""
    console.print(f"next: irdim-train fit {quoted(out)}{more}", soft_wrap=True)
