"""One cell of a comparison: train a network in a process of its own, score it on patches of its size and on whole frames."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from irdim.boxes import LABELS, Box
from irdim.bundle import Thresholds
from irdim.dataset import Dataset
from irdim.detector import FAINT
from irdim.errors import InputError
from irdim.files import read_json, sha256, write_json
from irdim.grid import decode
from irdim.metrics import CentreDistance, Score
from irdim.patches import DESCRIPTION as PATCHES
from irdim.patches import Patches
from irdim_train.batches import BatchReader
from irdim_train.crop import crop
from irdim_train.evaluate import default_split, evaluate
from irdim_train.runs import CHECKPOINT, is_finished, load_model
from irdim_train.starters import RANDOM
from irdim_train.torch_engine import TorchEngine

RESULT = "result.json"


@dataclass(frozen=True)
class Budget:
    """What every cell may spend: epochs, or minutes where they are given; whole_frames: the share of its steps that go on with whole frames."""

    epochs: float = 10.0
    minutes: float | None = None
    batch: int = 64
    whole_frames: float = 0.0


@dataclass(frozen=True)
class Cell:
    """What is trained. data: path of its data set."""

    data: str
    backbone: str
    width: float
    size: int
    input: str
    frame_step: int
    register: bool
    seed: int

    @property
    def patches_name(self) -> str:
        aligned = "-registered" if self.register else ""
        return f"{Path(self.data).name}-{self.size}-step{self.frame_step}{aligned}"

    @property
    def name(self) -> str:
        return f"{self.backbone}-{self.width:g}-{self.input}-{self.patches_name}-seed{self.seed}"


def run_cell(cell: Cell, budget: Budget, out: Path, stage: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """The cell's result, from `out`/cells/NAME/result.json where it has been found before.

    An unfinished training goes on where it stopped. Raises InputError with the training's own line where it fails, or where the result that lies
    there had another budget.
    """
    folder = out / "cells" / cell.name
    patches = _patches(cell, out / "patches" / cell.patches_name, stage)
    given = {"cell": asdict(cell), "budget": asdict(budget), "patches_digest": sha256(patches / PATCHES)}
    if (folder / RESULT).is_file():
        found: dict[str, Any] = read_json(folder / RESULT, "comparison's result")
        found["budget"] = {**asdict(Budget()), **found.get("budget", {})}  # older ones know no whole frames
        for key, value in given.items():
            if found.get(key) != value:
                what = {"cell": "data set", "budget": "budget", "patches_digest": "labels or frames"}[key]
                raise InputError(f"{folder / RESULT}: found with another {what}; choose another --out, or remove it")
        return found
    run = folder / "run"
    if not is_finished(run):
        stage("fit")
        _fit(cell, budget, patches, run)
    stage("score")
    found = {**given, **_score(run, patches, Path(cell.data))}
    write_json(folder / RESULT, found)
    return found


def _patches(cell: Cell, path: Path, stage: Callable[[str], None]) -> Path:
    """Cut, or brought up to the data set's labels."""
    stage("crop")
    path.parent.mkdir(parents=True, exist_ok=True)
    with Dataset.open(Path(cell.data)) as data:
        crop(data, path, size=cell.size, frame_step=cell.frame_step, register=cell.register)
    return path


def _fit(cell: Cell, budget: Budget, patches: Path, run: Path) -> None:
    """In a process of its own, so that its peak of memory is its own."""
    command = [sys.executable, "-m", "irdim_train", "fit"]
    if (run / CHECKPOINT).is_file():
        command += ["--resume", str(run)]
    else:
        spent = ["--epochs", str(budget.epochs)] if budget.minutes is None else ["--minutes", str(budget.minutes)]
        command += [str(patches), "--out", str(run), "--backbone", cell.backbone, "--width", str(cell.width)]
        command += ["--input", cell.input, "--seed", str(cell.seed), "--batch", str(budget.batch), *spent]
        # all alike: a starter ships for some networks only
        command += ["--whole-frames", str(budget.whole_frames), "--from", RANDOM]
    done = subprocess.run([*command, "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode in (130, -2):
        raise KeyboardInterrupt
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{cell.name}: {last.removeprefix('error: ')}")


def _score(run: Path, patches: Path, data: Path) -> dict[str, Any]:
    model, card = load_model(run)
    description = json.loads((run / "run.json").read_text())
    of_patches = Patches.open(patches)
    own = score_patches(run, of_patches).to_json() if len(of_patches.rows("val")) else None
    lowest = Thresholds(min(FAINT, card.thresholds.low), min(FAINT, card.thresholds.low))
    with Dataset.open(data) as dataset:
        split = default_split(dataset)
        metric = evaluate(replace(card, thresholds=lowest), TorchEngine(model), dataset, split=split).metric
    return {
        "minutes": round(description["seconds"] / 60, 3),
        "steps": description["steps"],
        "peak_memory_mb": description["peak_memory_mb"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "patches": own,
        "split": split,
        "frames": metric.at(card.thresholds.report).to_json(),
        "frames_best": metric.best().to_json(),
    }


@torch.inference_mode()
def score_patches(run: Path, patches: Path | Patches, split: str = "val", batch: int = 64) -> Score:
    """A run on patches of a split, each on its own as in the paper's Table 2 (no past, best threshold), within 3 px."""
    patches = patches if isinstance(patches, Patches) else Patches.open(patches)
    model, card = load_model(run)
    reader = BatchReader(patches, card.input, split, card.stride, torch.device("cpu"))
    metric = CentreDistance()
    shape = (patches.size, patches.size)
    for at in range(0, len(reader.rows), batch):
        given = reader.read(reader.rows[at : at + batch])
        for row, output in zip(given.rows, model(given.image).numpy(), strict=True):
            boxes = [
                Box(float(b["x"]), float(b["y"]), float(b["w"]), float(b["h"]), LABELS[b["label"]])
                for b in reader.boxes_of(row)
            ]
            metric.update(decode(output, card.stride, FAINT, shape), boxes, shape)
    return metric.best()
