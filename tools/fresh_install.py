"""Wheel and sdist in an empty environment: python tools/fresh_install.py (make test-install).

Builds both, installs the wheel with all that train, export and edge need into .install/, outside this repository goes once from generated sequences to
detections by its three commands, and does that again with what was installed from the sdist. A second run uses the environment again.
"""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from edge_alone import PINS, find_python, install, new_environment, pins_of, run, without_paths
from rich.console import Console

import irdim
from irdim.command_line import run_command
from irdim.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".install"
LOOP = """
irdim-train --version
irdim-train --help
irdim-export --help
irdim-edge --help
irdim-train synth recordings --sequences 4 --frames 32 --size 128x96 --snr 8 --speed 1 --polarity hot
irdim-train import recordings --out data --val *-002 --test *-003
irdim-train crop data --size 32 --frame-step 2 --out patches
irdim-train fit patches --width 0.25 --epochs 2 --out run
irdim-export run --int8 --ranges minmax --calibration 64 --out bundle
irdim-edge inspect bundle
irdim-edge config --bundle bundle --source recordings --rate flat-out --write edge.toml
irdim-edge run edge.toml
"""
console = Console(highlight=False, soft_wrap=True)


def fresh_install(
    version: Annotated[str, typer.Argument(help="Version of CPython.")] = ".".join(map(str, sys.version_info[:2])),
) -> None:
    """Build wheel and sdist, install each, go once from sequences to detections with it."""
    python = find_python(version)
    if python is None:
        raise InputError(f"CPython {version} is not here; install it (pyenv install {version})")
    FOLDER.mkdir(exist_ok=True)
    own, pins = new_environment(python, FOLDER / version), pins_of(python)
    run(own, "-m", "pip", "install", "-q", torch_pin())
    for built in build_both(FOLDER / "dist"):
        install(own, built, pins, extras="train,export,edge")
        go_once(own.parent, FOLDER / "work")
        console.print(f"{built.name}: installed on CPython {version}, from sequences to detections")


def torch_pin() -> str:
    """The pinned version, which every Python takes, as in the Makefile."""
    return next(line for line in PINS.read_text().splitlines() if line.startswith("torch=="))


def build_both(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist of the working tree, in `folder`; the wheel is built from the sdist, which therefore is complete."""
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    name = f"irdim-{irdim.__version__}"
    return folder / f"{name}-py3-none-any.whl", folder / f"{name}.tar.gz"


def go_once(programs: Path, work: Path) -> None:
    """Every line of LOOP in an empty folder. Raises InputError with what the first that fails said last."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    environment = without_paths() | {"OMP_NUM_THREADS": "1"}
    for line in LOOP.strip().splitlines():
        program, *words = line.split()
        run(programs / program, *words, cwd=work, env=environment, capture_output=True)
    if not (work / "edge-out" / "detections-0001.jsonl").stat().st_size:
        raise InputError(f"{work}: no detection lines")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(fresh_install)
    run_command(app)
