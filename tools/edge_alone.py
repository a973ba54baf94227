"""irdim[edge] by itself, installed from the wheel, on each Python that is here: python tools/edge_alone.py (make test-edge).

For each a virtual environment in .edge/, which a second run uses again. It must hold no torch, replay generated sequences with the bundle that comes
with irdim, and find what the first of them finds: FP32 scores within 1e-3, 99.5 % of the INT8 detections within 0.5 px.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from irdim.command_line import run_command
from irdim.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".edge"
PINS = ROOT / "constraints.txt"
PYTHONS = "3.10", "3.11", "3.12"
PRECISIONS = "fp32", "int8"
RADIUS, SCORE, SHARE = 0.5, 1e-3, 0.995
NO_TORCH = "import importlib.util as i, sys; sys.exit(i.find_spec('torch') and 'torch is installed')"
console = Console(highlight=False, soft_wrap=True)

Lines = dict[tuple[str, int], list[dict]]


@dataclass(frozen=True)
class Compared:
    """Detections of two replays of the same frames. matched: share of both sides' that lie within RADIUS of one on the other; score: the largest
    difference of matched scores; stray: the largest score above the threshold that only one side has."""

    frames: int
    detections: int
    matched: float
    score: float
    stray: float

    def sound(self, precision: str) -> bool:
        if precision == "int8":
            return self.matched >= SHARE
        return self.score <= SCORE and self.stray <= SCORE

    def __str__(self) -> str:
        return (
            f"{self.frames} frames, {self.detections} detections, {self.matched:.2%} within {RADIUS} px, "
            f"scores within {self.score:.1e}"
        )


def edge_alone(
    pythons: Annotated[list[str] | None, typer.Argument(help="Versions to try.")] = None,
) -> None:
    """Install irdim[edge] on each Python, replay, compare."""
    FOLDER.mkdir(exist_ok=True)
    wheel, recordings = build_wheel(FOLDER), generate(FOLDER)
    expected: dict[str, Lines] = {}
    for version in pythons or PYTHONS:
        python = find_python(version)
        if python is None:
            console.print(f"CPython {version}: not here, skipped")
            continue
        environment = make_environment(python, wheel, FOLDER / version)
        for precision in PRECISIONS:
            found = replay([environment / "bin" / "irdim-edge"], recordings, FOLDER / f"out-{version}", precision)
            if precision in expected:
                judge(f"CPython {version}, {precision}", compare(expected[precision], found), precision)
            else:
                expected[precision] = found
                console.print(
                    f"CPython {version}, {precision}: {sum(map(len, found.values()))} detections, to hold the others against"
                )
    if not expected:
        raise InputError(f"none of {', '.join(pythons or PYTHONS)} is here; install one (pyenv install 3.12)")


def make_environment(python: Path, wheel: Path, path: Path) -> Path:
    """A virtual environment with irdim[edge] in it."""
    install_edge(new_environment(python, path), wheel, pins_of(python))
    return path


def new_environment(python: Path, path: Path) -> Path:
    """A virtual environment, unless it is there; its python."""
    if not (path / "bin" / "pip").exists():
        run(python, "-m", "venv", path)
    return path / "bin" / "python"


def pins_of(python: Path) -> Path:
    """The constraints that this Python takes: the pinned versions have no builds for CPython 3.10."""
    asked = subprocess.run([python, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True)
    return PINS if b"True" in asked.stdout else Path(os.devnull)


def judge(name: str, compared: Compared, precision: str) -> None:
    """Print one line. Raises InputError where the two differ by more than they may."""
    console.print(f"{name}: {compared}")
    if not compared.sound(precision) or not compared.detections:
        raise InputError(
            f"{name}: not the same detections; highest score that only one has: {compared.stray:+.1e} over the threshold"
        )


def build_wheel(folder: Path) -> Path:
    """The wheel of the working tree, in `folder`."""
    for old in folder.glob("irdim-*.whl"):
        old.unlink()
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    return next(folder.glob("irdim-*.whl"))


def generate(folder: Path) -> Path:
    """Two short sequences (160x128, 40 frames, several targets)."""
    recordings = folder / "recordings"
    if not recordings.exists():
        made = folder / "made"
        shutil.rmtree(made, ignore_errors=True)
        words = ("--sequences", 2, "--frames", 40, "--size", "160x128", "--snr", 6, "--speed", 1, "--targets", 4)
        run(Path(sys.executable).with_name("irdim-train"), "synth", made, *words, stdout=subprocess.DEVNULL)
        for truth in ("boxes.csv", "truth.json"):
            for path in made.glob(f"*/{truth}"):
                path.unlink()
        made.rename(recordings)
    return recordings


def install_edge(python: Path, wheel: Path, pins: Path, prefix: Sequence[str | Path] = (), **more: object) -> None:
    """irdim[edge] into python's environment, and nothing of training. As install."""
    install(python, wheel, pins, "edge", prefix, **more)
    run(*prefix, python, "-c", NO_TORCH, **more)


def install(
    python: Path, built: Path, pins: Path, extras: str, prefix: Sequence[str | Path] = (), **more: object
) -> None:
    """irdim with these extras from a wheel or sdist into python's environment. pins: constraints of versions; prefix: what runs a command
    where paths are meant so; more: options of subprocess.run."""
    run(*prefix, python, "-m", "pip", "uninstall", "-q", "-y", "irdim", stderr=subprocess.DEVNULL, **more)
    run(
        *prefix,
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-compile",
        "-c",
        pins,
        f"{built}[{extras}]",
        stderr=subprocess.PIPE,
        **more,
    )


def replay(command: Sequence[str | Path], recordings: Path, out: Path, precision: str) -> Lines:
    """Let the daemon replay; what it found, by sequence and frame."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    write_config(out / "edge.toml", recordings, precision)
    run(*command, "run", out / "edge.toml", stdout=subprocess.DEVNULL, env=without_paths())
    return read_lines(out)


def write_config(path: Path, recordings: Path | str, precision: str) -> None:
    path.write_text(f'precision = "{precision}"\nthreads = 1\n[camera]\nrate = "flat-out"\npaths = ["{recordings}"]\n')


def read_lines(out: Path) -> Lines:
    """Of a run's first part."""
    lines = (json.loads(line) for line in (out / "edge-out" / "detections-0001.jsonl").read_text().splitlines())
    return {(line["source"], line["frame"]): line["detections"] for line in lines}


def compare(expected: Lines, found: Lines) -> Compared:
    """Raises InputError where the frames are not the same."""
    if expected.keys() != found.keys():
        raise InputError(f"{len(found)} frames there, {len(expected)} here")
    matched, apart, strays = 0, 0.0, []
    for key, here in expected.items():
        left = list(found[key])
        for one in here:
            near = [o for o in left if max(abs(one["x"] - o["x"]), abs(one["y"] - o["y"])) <= RADIUS]
            if near:
                other = min(near, key=lambda o: abs(one["x"] - o["x"]) + abs(one["y"] - o["y"]))
                left.remove(other)
                matched += 1
                apart = max(apart, abs(one["score"] - other["score"]))
            else:
                strays.append(one["score"])
        strays += [o["score"] for o in left]
    count = 2 * matched + len(strays)
    lowest = min((d["score"] for frame in (*expected.values(), *found.values()) for d in frame), default=0.0)
    return Compared(len(expected), matched, 2 * matched / max(count, 1), apart, max(strays, default=lowest) - lowest)


def find_python(version: str) -> Path | None:
    """CPython of that version: on the path, or pyenv's."""
    there = [shutil.which(f"python{version}"), *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    for path in filter(None, there):
        if subprocess.run([path, "-c", "import venv, ssl"], capture_output=True).returncode == 0:
            return Path(path)
    return None


def without_paths() -> dict[str, str]:
    """The environment without what would let another irdim be imported."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def run(*words: object, **more: object) -> None:
    """Raises InputError where it fails, with what it said last where stderr is piped."""
    command = [str(w) for w in words]
    done = subprocess.run(command, **{"env": without_paths(), **more})  # type: ignore[call-overload]
    if done.returncode:
        said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        raise InputError(f"{' '.join(command[-6:])}: exit {done.returncode} {said[-1] if said else ''}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(edge_alone)
    run_command(app)
