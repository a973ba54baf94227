"""A run: the folder that `fit` writes. Format: docs/formats.md."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from irdim.bundle import ModelCard
from irdim.errors import InputError
from irdim.files import atomic_file, read_json
from irdim.wording import quoted
from irdim_train.model import GridDetector

FORMAT, VERSION = "irdim-run", 1
PRESETS: dict[str, dict[str, Any]] = {"nano": {"backbone": "nano", "width": 0.5}}  # for boards without a GPU
DESCRIPTION, CHECKPOINT, MODEL, COURSE = "run.json", "checkpoint.pt", "model.pt", "history.jsonl"
EPOCHS, LEAST_STEPS = 10.0, 2000  # unless a budget is asked for; ten passes over few patches are no training
SNAPSHOTS = "course"  # folder of the weights on the way


@dataclass(frozen=True)
class FitConfig:
    """Everything that decides a run's weights and thresholds, beside the patches. Two runs of equal config, patches and machine are equal."""

    backbone: str = "darknet19"
    width: float = 0.5
    input: str = "difference+frame"
    epochs: float = EPOCHS
    least_steps: int = 0  # whatever the epochs
    minutes: float | None = None  # a budget instead of both: the steps are counted out after the first few were timed
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    a: float = 1.0  # weight of Loc
    b: float = 1.0  # weight of Class
    ema: float = 0.998
    augment: bool = True
    lay_over: float = 0.0  # share of patches that another one is laid over, with augment
    seed: int = 0
    evidence: bool = True  # whether scores take up the past of their detection (irdim.evidence)
    false_alarms: float | None = None  # a frame, at which the report threshold is chosen; None for the best F1
    start: str | None = None  # the run whose weights it begins with, or the network's starter; None: at random
    whole: float = 0.0  # share of the steps, the last ones, that read whole frames instead of patches
    snapshots: int = 0  # times on the way at which the weights are kept, for refine
    freeze_norm: bool = False  # batch norm keeps the statistics that it began with

    def __post_init__(self) -> None:
        checks = (
            (self.batch >= 1, f"--batch {self.batch}: at least 1"),
            (0 < self.epochs < 1e6, f"--epochs {self.epochs:g}: above 0"),
            (0 <= self.least_steps < 1e9, f"least_steps {self.least_steps}: 0 or more"),
            (self.minutes is None or 0 < self.minutes < 1e6, f"--minutes {self.minutes}: above 0"),
            (0 < self.learning_rate < 10, f"--learning-rate {self.learning_rate:g}: above 0, below 10"),
            (self.a >= 0 and self.b >= 0, f"--a {self.a:g}, --b {self.b:g}: 0 or more"),
            (0 <= self.lay_over <= 1, f"--lay-over {self.lay_over:g}: a share from 0 to 1"),
            (0 <= self.whole <= 1, f"--whole-frames {self.whole:g}: a share from 0 to 1"),
            (0 <= self.snapshots <= 100, f"--snapshots {self.snapshots}: 0 to 100"),
            (self.seed >= 0, f"--seed {self.seed}: 0 or more"),
            (
                not self.freeze_norm or self.start is not None,
                "--freeze-norm: only with --from, which brings statistics",
            ),
            (self.false_alarms is None or self.false_alarms >= 0, f"--false-alarms {self.false_alarms}: 0 or more"),
        )
        for holds, message in checks:
            if not holds:
                raise InputError(message)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def is_finished(run: Path) -> bool:
    """Whether there is a run that has ended, with its model and card. Raises InputError as `read_run`."""
    return (run / DESCRIPTION).is_file() and bool(read_run(run)["model"])


def read_run(path: Path) -> dict[str, Any]:
    """run.json. Raises InputError where `path` is not a run."""
    description = read_json(Path(path) / DESCRIPTION, "run (make one with irdim-train fit)")
    if (
        not isinstance(description, dict)
        or description.get("format") != FORMAT
        or description.get("version") != VERSION
    ):
        raise InputError(f"{Path(path) / DESCRIPTION}: not a run of version {VERSION}; fit again")
    return description


def load_model(path: Path) -> tuple[GridDetector, ModelCard]:
    """A finished run's network, in evaluation mode, and its card."""
    path = Path(path)
    description = read_run(path)
    if not description.get("model") or not (path / MODEL).is_file():
        what = (
            "has a checkpoint but is not finished; go on with"
            if (path / CHECKPOINT).is_file()
            else "has no checkpoint; train it with"
        )
        raise InputError(f"{path}: this run {what} irdim-train fit --resume {quoted(path)}")
    card = ModelCard.from_json(description["model"])
    model = GridDetector(card.backbone, card.input.channels, card.width)
    load_weights(model, load_tensors(path / MODEL), path / MODEL)
    return model.eval(), card


def load_weights(model: torch.nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Put weights into a network; InputError where they are another network's or not finite."""
    try:
        model.load_state_dict(weights)
    except (RuntimeError, AttributeError, TypeError):
        raise InputError(f"{path}: its weights are of another backbone, width or input; fit again") from None
    bad = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise InputError(f"{path}: weights that are not finite ({bad[0]}); fit again with a lower --learning-rate")


def load_tensors(path: Path) -> dict[str, Any]:
    """A file of tensors and plain values, read without unpickling code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no checkpoint here; run irdim-train fit") from None
    except Exception as error:  # torch reports broken files by many exceptions
        raise InputError(f"{path}: unreadable checkpoint ({type(error).__name__}); fit again") from None


def save_tensors(path: Path, value: dict[str, Any]) -> None:
    """Write tensors and plain values, atomically."""
    with atomic_file(path) as file:
        torch.save(value, file)
