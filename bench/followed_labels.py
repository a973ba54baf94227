"""How far the labels of `irdim-train label --mark` lie from the truth: generated targets, marked where they are first and last seen.

python bench/followed_labels.py [--sequences 8]
"""

from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from irdim_train.labelling import follow
from irdim_train.synth import SynthOptions, generate

SCENES = {
    "clouds": {},
    "panning camera": {"pan": 1.0, "jitter": 0.2},
    "clear sky, all manoeuvre": {"clouds": 0.0, "manoeuvres": 1.0},
}
CLICK = 1.0  # px; sigma, along each axis, of a person's aim
FEWEST = 20  # frames of a target


def main(sequences: Annotated[int, typer.Option(help="Of 60 frames, for each line.")] = 8) -> None:
    """Print the table."""
    table = Table(
        "scene", "local SCR", "labels", "snapped", "median error, px", "95 %", "interpolated alone: median", "95 %"
    )
    for scene, more in SCENES.items():
        for scr in (3.0, 5.0, 10.0):
            snapped, plain, share = _errors(SynthOptions(scr=scr, targets=2, **more), sequences)
            figures = [f"{np.quantile(errors, q):.2f}" for errors in (snapped, plain) for q in (0.5, 0.95)]
            table.add_row(scene, f"{scr:g}", str(len(snapped)), f"{share:.2f}", *figures)
    Console(width=140).print(table)


def _errors(options: SynthOptions, sequences: int) -> tuple[np.ndarray, np.ndarray, float]:
    """px from the truth with and without snapping, of each label; share that was snapped."""
    rng = np.random.default_rng(0)
    errors: dict[bool, list[float]] = {True: [], False: []}
    seen = 0
    for index in range(sequences):
        made = generate(options, index)
        for target in (s for s in made.truth["spots"] if s["kind"] == "target" and len(s["visible"]) >= FEWEST):
            first, last = target["visible"][0], target["visible"][-1]
            size = made.frames.shape[:0:-1]
            marks = {
                f: tuple(np.clip(np.array(target["track"][f][::-1]) + rng.normal(0, CLICK, 2), 0, np.array(size) - 1))
                for f in (first, last)
            }
            for snap in (True, False):
                found = follow(made.frames, marks, snap=snap)
                visible = set(target["visible"])
                seen += len(found.snapped & visible)
                errors[snap] += [
                    float(np.hypot(b.x - target["track"][f][1], b.y - target["track"][f][0]))
                    for f, b in found.boxes.items()
                    if f in visible
                ]
    return np.array(errors[True]), np.array(errors[False]), seen / max(len(errors[True]), 1)


if __name__ == "__main__":
    typer.run(main)
