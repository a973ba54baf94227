"""Generated sequences as folders that `irdim-train import` takes."""

import csv
import functools
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import TARGET, Box
from irdim.errors import InputError
from irdim.files import atomic_file, read_json, write_json
from irdim_train.staging import staged_folder
from irdim_train.synth.label_errors import plant_errors
from irdim_train.synth.ledger import write_ledger
from irdim_train.synth.options import SynthOptions
from irdim_train.synth.sequence import VERSION, Synthetic, frames_like, generate
from irdim_train.synth.textures import Texture, shared_clouds
from irdim_train.synth.workers import cores, in_order

TRUTH = "truth.json"
WORTH_A_PROCESS = 5e7  # pixels
SIDE, TEXTURES = 1024, 4  # px, number of the cloud textures that short scenes share


@dataclass(frozen=True)
class Job:
    """A sequence to write. clouds: key of the textures that it shares with others; None for its own."""

    name: str
    options: SynthOptions
    index: int
    clouds: tuple[int, ...] | None = None


def sequence_jobs(options: SynthOptions, count: int) -> list[Job]:
    """Sequences of the same options, each with clouds of its own."""
    if not 1 <= count <= 1_000_000:
        raise InputError(f"--sequences {count}: at least 1, at most a million")
    return [Job(f"synth-{options.seed}-{i:03d}", options, i) for i in range(count)]


def write_jobs(
    out: Path,
    jobs: Sequence[Job],
    progress: Callable[[str], None] = lambda name: None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Write each job's sequence below `out`, whole or not at all. One that is there with the same options is kept, so that a killed
    call can be repeated; InputError where other options made it, or the disk is too small. workers: processes; None for as many as there
    are cores, where that gains. The bytes are the same with any. Returns what was done, in numbers."""
    pixels = sum(job.options.frames * job.options.width * job.options.height for job in jobs)
    check_space(out, pixels * (1 if all(job.options.bits == 8 for job in jobs) else 2))
    if workers is None:
        workers = min(cores(), len(jobs)) if pixels > WORTH_A_PROCESS else 1
    names = ("already_there", "frames", "targets", "target_boxes", "interference_boxes", "label_errors")
    done = {"sequences": len(jobs), **dict.fromkeys(names, 0)}
    for job, counts in zip(jobs, in_order(functools.partial(_write, out), jobs, workers), strict=True):
        for name, number in counts.items():
            done[name] += number
        progress(job.name)
    return {"out": str(out), **done}


def check_space(out: Path, size: int) -> None:
    """Raises InputError where the disk has less than `size` bytes left."""
    there = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise InputError(f"{out}: {size / 1e9:.0f} GB to write and {free / 1e9:.0f} GB free; ask for less (--scale)")


def _write(out: Path, job: Job) -> dict[str, int]:
    folder = out / job.name
    if _is_there(folder, job):
        return {"already_there": 1}
    options = job.options
    textures = None if job.clouds is None else shared_clouds(job.clouds, TEXTURES, SIDE, options.edges, options.shape)
    with staged_folder(folder, TRUTH, "irdim-synth", ()) as staged:
        made = _generate_into(staged / "frames.npy", job, textures)
        with atomic_file(staged / "times.npy") as file:
            np.save(file, np.arange(options.frames) * options.interval, allow_pickle=False)
        boxes = {frame: [_rounded(b) for b in there] for frame, there in made.boxes.items()}
        rng = np.random.default_rng([options.seed, job.index, 1])
        spoilt, errors = plant_errors(boxes, options.frames, options.shape, options.label_errors, rng, job.name)
        _write_boxes(staged / "boxes.csv", spoilt)
        write_json(staged / TRUTH, {**made.truth, "clouds": job.clouds})
        if options.label_errors:
            write_ledger(staged, errors)
    labels = [box.label for there in spoilt.values() for box in there]
    return {
        "frames": options.frames,
        "targets": sum(spot["label"] == TARGET for spot in made.truth["spots"]),
        "target_boxes": labels.count(TARGET),
        "interference_boxes": len(labels) - labels.count(TARGET),
        "label_errors": len(errors),
    }


def _is_there(folder: Path, job: Job) -> bool:
    if not folder.exists():
        return False
    truth = read_json(folder / TRUTH, "generated sequence; remove it or choose another folder")
    asked = {"version": VERSION, "sequence": job.index, "options": vars(job.options), "clouds": job.clouds}
    asked = json.loads(json.dumps(asked))
    if not isinstance(truth, dict) or {name: truth.get(name) for name in asked} != asked:
        raise InputError(f"{folder}: was generated with other options; remove it, or choose another folder or --seed")
    return True


def _rounded(box: Box) -> Box:
    """To what the label file holds, so that labels and ledger agree to the last digit."""
    return replace(box, **{name: round(getattr(box, name), 3) for name in ("x", "y", "w", "h")})


def _generate_into(path: Path, job: Job, textures: Sequence[Texture] | None) -> Synthetic:
    """Generate a sequence frame by frame into a file, so that its length costs no memory."""
    shape, dtype = frames_like(job.options)
    frames = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with path.open("rb+") as file:  # a disk that fills is an error here; under the map it would be a signal
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    made = generate(job.options, job.index, textures, frames)
    frames.flush()
    return made


def _write_boxes(path: Path, boxes: dict[int, list[Box]]) -> None:
    with atomic_file(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["frame", "label", "x", "y", "width", "height"])
        for frame, there in boxes.items():
            for b in there:
                numbers = (b.x - b.w / 2, b.y - b.h / 2, b.w, b.h)
                writer.writerow([frame, b.label, *(f"{n:.4f}" for n in numbers)])
