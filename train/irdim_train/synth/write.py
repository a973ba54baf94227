"""Generated sequences as folders that `irdim-train import` takes."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import TARGET
from irdim.errors import InputError
from irdim.files import atomic_file, read_json, write_json
from irdim_train.staging import staged_folder
from irdim_train.synth.options import SynthOptions
from irdim_train.synth.sequence import VERSION, Synthetic, generate

TRUTH = "truth.json"


def write_sequences(
    out: Path, options: SynthOptions, count: int, progress: Callable[[str], None] = lambda name: None
) -> dict[str, Any]:
    """Write `count` sequences below `out`, each whole or not at all. One that is there with the same options is kept, so that a killed
    call can be repeated; InputError where other options made it. Returns what was done, in numbers."""
    if count < 1:
        raise InputError(f"--sequences {count}: at least 1")
    done = {
        "sequences": count,
        "already_there": 0,
        "frames": 0,
        "targets": 0,
        "target_boxes": 0,
        "interference_boxes": 0,
    }
    for index in range(count):
        name = f"synth-{options.seed}-{index:03d}"
        if _is_there(out / name, options, index):
            done["already_there"] += 1
        else:
            made = generate(options, index)
            _write(out / name, made, options)
            labels = [box.label for boxes in made.boxes.values() for box in boxes]
            done["frames"] += len(made.frames)
            done["targets"] += sum(spot["label"] == TARGET for spot in made.truth["spots"])
            done["target_boxes"] += labels.count(TARGET)
            done["interference_boxes"] += len(labels) - labels.count(TARGET)
        progress(name)
    return {"out": str(out), **done}


def _is_there(folder: Path, options: SynthOptions, index: int) -> bool:
    if not folder.exists():
        return False
    truth = read_json(folder / TRUTH, "generated sequence; remove it or choose another folder")
    asked = json.loads(json.dumps(_key(options, index)))
    if {name: truth.get(name) for name in asked} != asked:
        raise InputError(f"{folder}: was generated with other options; remove it, or choose another folder or --seed")
    return True


def _key(options: SynthOptions, index: int) -> dict[str, Any]:
    return {"version": VERSION, "sequence": index, "options": vars(options)}


def _write(folder: Path, made: Synthetic, options: SynthOptions) -> None:
    with staged_folder(folder, TRUTH, "irdim-synth") as staged:
        with atomic_file(staged / "frames.npy") as file:
            np.save(file, made.frames, allow_pickle=False)
        with atomic_file(staged / "times.npy") as file:
            np.save(file, np.arange(len(made.frames)) * options.interval, allow_pickle=False)
        with atomic_file(staged / "boxes.csv", "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["frame", "label", "x", "y", "width", "height"])
            for frame, boxes in made.boxes.items():
                for b in boxes:
                    numbers = (b.x - b.w / 2, b.y - b.h / 2, b.w, b.h)
                    writer.writerow([frame, b.label, *(f"{n:.3f}" for n in numbers)])
        write_json(staged / TRUTH, made.truth)
