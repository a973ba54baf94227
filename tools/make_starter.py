"""What ships with irdim, trained on generated sequences alone: the weights that training begins with, for nano and half-width DarkNet-19, and the starter
bundle of irdim-edge, which is that nano. python tools/make_starter.py [--work FOLDER]

Its frames have no times, so that the bundle asks for no frame rate: a target's speed in px a frame is what counts, and the scenes go from 0.1 to 2.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from commands import call

from irdim.bundle import CPU_GRAPH, GRAPHS, HALF_GRAPH, SAMPLES, Bundle, write_description
from irdim.command_line import run_command
from irdim.files import write_json
from irdim_edge.config import STARTER_FOLDER
from irdim_train.runs import DESCRIPTION, MODEL, load_model, load_tensors, read_run, save_tensors
from irdim_train.starters import RANDOM, starters_folder

FRAMES = ("--frames", "48", "--size", "192x160")
SCENES = {
    "usual": "--snr 5 --speed 1",
    "slow, hard edges": "--snr 8 --speed 0.3 --edges hard --layers 3 --knots 2",
    "fast, a moving camera": "--snr 4 --speed 2 --drift 1.5 --jitter 0.3",
    "8 bits, sun": "--snr 10 --speed 1 --bits 8 --noise 1.5 --glint 30",
    "over ground": "--snr 7 --speed 0.6 --horizon 0.6 --extent 2",
    "16 bits, heavy clouds": "--snr 6 --speed 1.5 --bits 16 --clouds 40 --psf airy",
    "larger, dim": "--snr 3 --speed 1 --extent 3 --elongation 3 --drift 1",
    "larger, over ground": "--snr 5 --speed 0.7 --extent 2.5 --elongation 4 --horizon 0.4 --drift 1",
    "larger, slow": "--snr 4 --speed 0.25 --extent 3 --elongation 2 --edges hard --knots 2",
    "hardly moving": "--snr 7 --speed 0.1 --drift 0.2",
    "empty": "--targets 0 --clouds 30 --edges hard --knots 3 --stripes 20",
    "bright": "--snr 15 --speed 0.6 --extent 2.5 --elongation 3",
    "bright, all turning": "--snr 12 --speed 0.8 --layers 3 --manoeuvres 1",
}
WHOLE = ("--whole-frames", 0.25)  # patches are what is varied as cameras vary, so they have the larger share
# real scenes hold more that looks like a target than generated ones: a threshold of best F1 here would report too much there
THRESHOLD = ("--false-alarms", 0.02)
NETWORKS: dict[str, tuple[str, ...]] = {"nano": ("--preset", "nano"), "darknet19": ()}
BUNDLED = "nano"
KEPT_SAMPLES = 3
VALIDATE = 2  # of the sequences of each scene, for the threshold


def make_starter(
    work: Annotated[
        Path | None, typer.Option(help="Folder to work in, which is kept; by default a temporary one.")
    ] = None,
    sequences: Annotated[int, typer.Option(help="Of each kind of scene.")] = 14,
    epochs: Annotated[int, typer.Option(help="Of each training.")] = 12,
) -> None:
    """Generate, train, quantise, and put the weights and the bundle where the packages have them."""
    if work is not None:
        _make(work, sequences, epochs)
        return
    with tempfile.TemporaryDirectory() as folder:
        _make(Path(folder), sequences, epochs)


def _make(work: Path, sequences: int, epochs: int) -> None:
    recordings, validate = work / "recordings", []
    for seed, scene in enumerate(SCENES.values()):
        call("irdim-train", "synth", recordings, "--sequences", sequences, "--seed", seed, *FRAMES, *scene.split())
        validate += [("--val", f"synth-{seed}-{i:03d}") for i in range(VALIDATE)]
    for times in recordings.glob("*/times.npy"):
        times.unlink()
    call("irdim-train", "import", recordings, "--out", work / "data", *(word for pair in validate for word in pair))
    call("irdim-train", "crop", work / "data", "--size", 80, "--frame-step", 4, "--out", work / "patches")
    for name in NETWORKS:
        run, how = work / name, (*NETWORKS[name], "--from", RANDOM, "--epochs", epochs, *WHOLE, *THRESHOLD)
        call("irdim-train", "fit", work / "patches", *how, "--out", run)
        _ship_run(run)
    call("irdim-export", work / BUNDLED, "--int8", "--out", work / "bundle")
    _ship_bundle(Bundle.load(work / "bundle"))


def _ship_run(run: Path) -> None:
    """Into the package: its weights as 16-bit floats, which do to begin with, and what is said of them but where they were made."""
    ships = starters_folder() / run.name
    ships.mkdir(parents=True, exist_ok=True)
    description = read_run(run)
    write_json(ships / DESCRIPTION, {k: description[k] for k in ("format", "version", "config", "model", "scores")})
    weights = {n: w.half() if w.is_floating_point() else w for n, w in load_tensors(run / MODEL).items()}
    save_tensors(ships / MODEL, weights)
    load_model(ships)  # they are finite
    print(f"{ships}: {sum(p.stat().st_size for p in ships.iterdir()) / 1e3:.0f} kB")


def _ship_bundle(bundle: Bundle) -> None:
    """Into the package: without the report, and with as many sample frames as keep it under 2 MB."""
    if STARTER_FOLDER.exists():
        shutil.rmtree(STARTER_FOLDER)
    STARTER_FOLDER.mkdir()
    for name in (GRAPHS["fp32"], GRAPHS["int8"], CPU_GRAPH, HALF_GRAPH):
        if name in bundle.files:
            shutil.copy(bundle.path / name, STARTER_FOLDER / name)
    np.save(STARTER_FOLDER / SAMPLES, np.load(bundle.path / SAMPLES, allow_pickle=False)[:KEPT_SAMPLES])
    ours = ("format", "version", "model", "scores", "files")
    extra = {key: value for key, value in bundle.description.items() if key not in ours}
    write_description(STARTER_FOLDER, bundle.card, bundle.scores, extra)
    print(f"{STARTER_FOLDER}: {sum(p.stat().st_size for p in STARTER_FOLDER.iterdir()) / 1e3:.0f} kB")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(make_starter)
    run_command(app)
