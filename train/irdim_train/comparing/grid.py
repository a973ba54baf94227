"""All cells of a comparison, one after the other; what is done stays done."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from irdim.dataset import Dataset
from irdim.errors import InputError
from irdim_train.backbones import build_backbone
from irdim_train.comparing.cells import Budget, Cell, run_cell
from irdim_train.crop import check_size


def make_grid(
    data: Sequence[Path],
    backbones: Sequence[str],
    widths: Sequence[float],
    sizes: Sequence[int],
    inputs: Sequence[str],
    frame_steps: Sequence[int],
    registers: Sequence[bool],
    seeds: Sequence[int],
) -> list[Cell]:
    """Every combination, the seeds innermost, so that a comparison that is stopped early is whole for the cells that it has.

    Raises InputError for a name, size or data set that is not known, before anything is trained; two data sets of one name are refused too.
    """
    from irdim.differencing import InputSpec

    for backbone, width in itertools.product(backbones, widths):
        build_backbone(backbone, 1, width)
    for kind, step in itertools.product(inputs, frame_steps):
        InputSpec(kind, step)
    for size in sizes:
        check_size(size)
    if len({Path(d).name for d in data}) < len(data):
        raise InputError("two data sets of the same folder name; results are kept under it, so rename one")
    for path in data:
        Dataset.open(path).close()
    grid = itertools.product(data, backbones, widths, inputs, frame_steps, registers, sizes, seeds)
    return [
        Cell(str(Path(d).resolve()), backbone, width, size, kind, step, register, seed)
        for d, backbone, width, kind, step, register, size, seed in grid
    ]


def compare(
    cells: Iterable[Cell],
    budget: Budget,
    out: Path,
    *,
    stage: Callable[[Cell, str], None] = lambda cell, text: None,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Results of all cells that could be trained, and the reason of each that could not, by name."""
    results: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for cell in cells:
        try:
            results.append(run_cell(cell, budget, out, lambda text, cell=cell: stage(cell, text)))  # type: ignore[misc]
        except InputError as error:
            failed[cell.name] = str(error)
            stage(cell, f"failed: {error}")
    return results, failed
