"""What was asked of the generator against what its frames hold: local SCR, the camera's and the clouds' motion, noise.

python bench/synth_measured.py [--sequences 12]
"""

from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from irdim.boxes import TARGET
from irdim.registration import estimate_shift, texture
from irdim.scr import local_scr
from irdim_train.synth import SynthOptions, generate

SCENES = {
    "defaults": {},
    "hard edges, 3 layers": {"clouds": 40.0, "edges": "hard", "layers": 3},
    "Airy, horizon": {"psf": "airy", "horizon": 0.7},
    "8 bit, 2 px a frame": {"bits": 8, "speed": 2.0, "exposure": 1.0},
}
STILL = {"targets": 0, "knots": 0, "bad_pixels": 0.0, "fixed_pattern": 0.0}


def main(sequences: Annotated[int, typer.Option(help="Of 30 frames, for each figure.")] = 12) -> None:
    """Print the tables."""
    console = Console()
    console.print(_scr(sequences), _motion(sequences), _noise())


def _scr(sequences: int) -> Table:
    table = Table("scene", "requested SCR", "median", "10 to 90 % of targets", "targets", "labels", title="local SCR")
    for name, options in SCENES.items():
        for scr in (3.0, 5.0, 10.0):
            each, of_targets = [], []
            for i in range(sequences):
                made = generate(SynthOptions(frames=30, scr=scr, targets=4, **options), i)  # type: ignore[arg-type]
                each += [local_scr(made.frames[t], b) for t, of in made.boxes.items() for b in of if b.label == TARGET]
                of_targets += [s["scr"] for s in made.truth["spots"] if s["label"] == TARGET and len(s["visible"]) > 4]
            low, high = np.percentile(of_targets, (10, 90))
            median = f"{np.median(each):.2f} ({np.median(each) / scr - 1:+.1%})"
            table.add_row(name, f"{scr:g}", median, f"{low:.2f} to {high:.2f}", str(len(of_targets)), str(len(each)))
    return table


def _motion(sequences: int) -> Table:
    table = Table(
        "motion", "pairs", "rms error, px", "largest, px", title="measured by irdim.registration, 4 frames apart"
    )
    camera = {"clouds": 60.0, "wind": 0.0, "drift": 1.0, "pan": 0.7, "jitter": 0.2}
    clouds = {"clouds": 200.0, "layers": 1, "wind": 1.0, "drift": 0.0, "jitter": 0.0}
    for name, options in (("camera", camera), ("one layer of cloud", clouds)):
        errors = []
        for i in range(sequences):
            made = generate(SynthOptions(frames=30, **STILL, **options), i)  # type: ignore[arg-type]
            truth = np.array(made.truth["sky_shift"]) + np.arange(30)[:, None] * made.truth["winds"][0] * (
                name != "camera"
            )
            for t in range(4, 30, 5):
                measured = estimate_shift(texture(made.frames[t - 4]), texture(made.frames[t]))
                errors.append(np.hypot(*(np.array(measured) - (truth[t] - truth[t - 4]))))
        errors = np.array(errors)
        table.add_row(name, str(len(errors)), f"{np.sqrt((errors**2).mean()):.3f}", f"{errors.max():.3f}")
    return table


def _noise() -> Table:
    table = Table("bits", "shot share", "requested, counts", "measured", title="temporal noise on a clear sky")
    for bits in (8, 12, 14, 16):
        for shot in (0.0, 1.0):
            options = SynthOptions(frames=20, bits=bits, shot=shot, noise=3.0, clouds=0.0, drift=0, jitter=0, **STILL)  # type: ignore[arg-type]
            frames = generate(options).frames.astype(float)
            sigma = np.diff(frames, axis=0).std() / 2**0.5
            table.add_row(str(bits), f"{shot:g}", "3", f"{sigma:.3f} ({sigma / 3 - 1:+.1%})")
    return table


if __name__ == "__main__":
    typer.run(main)
