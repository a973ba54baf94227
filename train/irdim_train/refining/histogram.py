"""The paper's Fig. 11: how the losses of labels are spread, before and after."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from irdim.files import atomic_file
from irdim.report import Figure, on_white, plot

BINS = 60
COLOURS = ("#8a8f98", "#1f77b4")


def loss_histogram(losses: Mapping[str, np.ndarray], caption: str) -> Figure:
    """losses: name to (n,) nats, at most two; counts on a logarithmic scale, or a hundred wrong labels among ten thousand would not be seen."""
    return plot(partial(_draw, losses=losses), caption, size=(7.0, 3.4), wide=True)


def write_histogram(path: Path, losses: Mapping[str, np.ndarray]) -> None:
    """The same as a PNG on white."""
    with atomic_file(path) as file:
        file.write(on_white(loss_histogram(losses, "")))


def _draw(axes: Any, losses: Mapping[str, np.ndarray]) -> None:
    most = max((float(v.max()) for v in losses.values() if v.size), default=1.0)
    bins = np.linspace(0, max(most, 1e-3), BINS + 1)
    for (name, values), colour, filled in zip(losses.items(), COLOURS, (True, False), strict=False):
        mean = f"{values.mean():.3f}" if values.size else "-"
        kind = "stepfilled" if filled else "step"
        axes.hist(values, bins, histtype=kind, color=colour, linewidth=1.6, label=f"{name}: mean {mean}, {values.size}")
    if any(v.size for v in losses.values()):
        axes.set_yscale("log")
    axes.set_xlabel("loss of a label, nats")
    axes.set_ylabel("labels")
    axes.legend(frameon=False)
