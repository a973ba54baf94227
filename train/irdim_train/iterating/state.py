"""What a loop is told and how far it is: LOOP/loop.json, written after each step."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from irdim.errors import InputError
from irdim.files import read_json, write_json
from irdim.wording import quoted
from irdim_train.refining import RefineOptions
from irdim_train.runs import FitConfig

FORMAT, VERSION, FILE = "irdim-loop", 1, "loop.json"
STEPS = ("crop", "fit", "evaluate", "refine", "mine", "choose", "decide")
RULES = ("ask", "oracle", "agree", "loss")
CHOICES = ("value", "random")


@dataclass(frozen=True)
class LoopConfig:
    """data: data set, changed by the decisions; iterations: turns after the first training; epochs, more_epochs: of the first training and of each
    later one, which begins with the weights before; least_steps, more_least_steps: of the two, whatever the epochs; budget: items decided each turn;
    decide: one of RULES; truth: data set of an oracle; choose: one of CHOICES; pool: patterns of recordings nobody has looked at, besides those without
    any label; fit: options of FitConfig."""

    data: str
    iterations: int = 5
    epochs: float = 10.0
    more_epochs: float = 5.0
    least_steps: int = 0
    more_least_steps: int = 0
    budget: int = 100
    decide: str = "ask"
    truth: str | None = None
    choose: str = "value"
    pool: tuple[str, ...] = ()
    size: int = 80
    frame_step: int = 4
    register: bool = True
    folds: int = 0
    fit: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, holds, rule in (
            ("iterations", self.iterations >= 1, "at least 1"),
            ("budget", self.budget >= 1, "at least 1 item"),
            ("epochs", 0 < self.epochs < 1e6, "above 0"),
            ("more-epochs", 0 < self.more_epochs < 1e6, "above 0"),
            ("decide", self.decide in RULES, f"one of {', '.join(RULES)}"),
            ("choose", self.choose in CHOICES, f"one of {', '.join(CHOICES)}"),
        ):
            if not holds:
                raise InputError(f"--{name} {getattr(self, name.replace('-', '_'))}: {rule}")
        if (self.decide == "oracle") != (self.truth is not None):
            raise InputError("--decide oracle and --truth DATA belong together")
        if self.choose == "random" and self.decide != "oracle":
            raise InputError("--choose random draws whole frames, which only --decide oracle can decide")

    def fit_config(self, before: str | None = None) -> FitConfig:
        """Of the first training, or of a later one, which begins with the run `before`."""
        if before is None:
            return FitConfig(**{**self.fit, "epochs": self.epochs, "least_steps": self.least_steps})
        own = {"epochs": self.more_epochs, "least_steps": self.more_least_steps, "start": before}
        return FitConfig(**{**self.fit, **own})

    def refine_options(self, device: str) -> RefineOptions:
        """Of each turn."""
        return RefineOptions(splits=("train",), folds=self.folds, device=device)


@dataclass
class Turn:
    """One iteration. images: training patches; label_loss: mean loss of the labels, nats; scores: of the evaluation; queued, decided: items by kind and by
    decision; items: those chosen for a decision; reviewed: how many were decided."""

    number: int
    images: int = 0
    loss: float = 0.0
    label_loss: float = 0.0
    scores: dict[str, Any] = field(default_factory=dict)
    queued: dict[str, int] = field(default_factory=dict)
    items: list[int] = field(default_factory=list)
    chosen: dict[str, int] = field(default_factory=dict)
    decided: dict[str, int] = field(default_factory=dict)
    reviewed: int = 0


@dataclass
class LoopState:
    """turns: the last one is under way, unless `done`; step: its next step; pool: names of the recordings that it draws on."""

    folder: Path
    config: LoopConfig
    turns: list[Turn] = field(default_factory=list)
    step: str = STEPS[0]
    pool: list[str] = field(default_factory=list)
    done: bool = False

    @property
    def turn(self) -> Turn:
        return self.turns[-1]

    def run(self, number: int) -> Path:
        """The run of a turn."""
        return self.folder / f"iteration-{number}" / "run"

    def save(self) -> None:
        """To the disk, so that the loop goes on from here."""
        value = {"format": FORMAT, "version": VERSION, **asdict(self)}
        del value["folder"]
        write_json(self.folder / FILE, value)


def open_loop(folder: Path, config: LoopConfig | None) -> LoopState:
    """The loop that lies in `folder`, or a new one of `config`. Raises InputError where there is neither, or another config than the loop's."""
    if not (folder / FILE).is_file():
        if config is None:
            raise InputError(
                f"{folder}: no loop here; name a data set to begin one: irdim-train iterate --data DATA --out {quoted(folder)}"
            )
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder}: holds files, and no loop; choose another --out")
        return LoopState(folder, config)
    value = read_json(folder / FILE, "loop")
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
        raise InputError(f"{folder / FILE}: not a loop of version {VERSION}; begin another")
    there = LoopConfig(**{**value["config"], "pool": tuple(value["config"]["pool"])})
    if config is not None and _as_now(config) != _as_now(there):
        raise InputError(
            f"{folder}: a loop of other options; go on with irdim-train iterate --out {quoted(folder)}, or choose another --out"
        )
    turns = [Turn(**turn) for turn in value["turns"]]
    return LoopState(folder, there, turns, value["step"], value["pool"], value["done"])


def _as_now(config: LoopConfig) -> LoopConfig:
    """A loop that knew no `start` began at random."""
    return replace(config, fit={"start": None, **config.fit})
