"""How many stacks a second `irdim-train synth --patches` makes, whole frames and the writing of the file left out and counted in.

    python bench/synth_patches.py [--stacks 4096] [--size 80] [--workers N]

Prints stacks a second by the clock and per second of processor time (what one undisturbed core would make), with the options of the preset
`paper` and with the defaults.
"""

import resource
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from irdim_train.synth import SynthOptions
from irdim_train.synth.patches import Plan, render_task, tasks, write_patches
from irdim_train.synth.presets import preset, shares
from irdim_train.synth.workers import cores, in_order


def main(
    stacks: Annotated[int, typer.Option()] = 4096,
    size: Annotated[int, typer.Option()] = 80,
    workers: Annotated[int, typer.Option()] = cores(),
) -> None:
    """Measure."""
    table = Table(
        "options", "workers", "stacks", "stacks/s", "stacks/s of processor time", "with file and whole frames, s"
    )
    paper = preset("paper").options
    for name, options in (("paper", SynthOptions(**paper)), ("defaults", SynthOptions(width=640, height=512))):
        counts = shares(stacks, 0.4, 0.05)
        begun, used = time.perf_counter(), _processor_seconds()
        made = sum(
            len(part.stacks) for part in in_order(render_task, tasks(Plan.of(options, size, 4, True), counts), workers)
        )
        wall, used = time.perf_counter() - begun, _processor_seconds() - used
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            write_patches(Path(folder) / "patches", options, counts, size=size, workers=workers)
            whole = time.perf_counter() - begun
        table.add_row(name, str(workers), str(made), f"{made / wall:.0f}", f"{made / used:.0f}", f"{whole:.1f}")
    Console().print(table)


def _processor_seconds() -> float:
    """Of this process and those that it has ended."""
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    typer.run(main)
