"""A bundle is what leaves the workstation: a folder with the FP32 and the INT8 graph and `bundle.json`. Format: docs/formats.md.

The edge refuses what does not match its digests.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.files import read_json, sha256, write_json
from irdim.score_scale import ScoreScale

FORMAT, VERSION = "irdim-bundle", 1
DESCRIPTION = "bundle.json"
GRAPHS = {"fp32": "model.onnx", "int8": "model.int8.onnx"}


@dataclass(frozen=True)
class Thresholds:
    """report: the score from which a detection is reported; low: the score from which it is kept for tracks."""

    report: float
    low: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.report <= 1:
            raise InputError(f"thresholds low {self.low} and report {self.report}: 0 < low <= report <= 1 must hold")


@dataclass(frozen=True)
class ModelCard:
    """What must be known to run a network on frames, whoever runs it."""

    backbone: str
    width: float
    stride: int
    input: InputSpec
    thresholds: Thresholds
    interval: float | None = None  # nominal seconds between frames
    evidence: bool = True  # whether scores take up the past of their detection (irdim.evidence)
    scale: ScoreScale = ScoreScale()  # noqa: RUF009 - from raw scores to the share of hits on validation frames

    def to_json(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone,
            "width": self.width,
            "stride": self.stride,
            "input": self.input.to_json(),
            "thresholds": {"report": self.thresholds.report, "low": self.thresholds.low},
            "interval": self.interval,
            "evidence": self.evidence,
            "scale": {"slope": self.scale.slope, "offset": self.scale.offset},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ModelCard":
        return cls(
            value["backbone"],
            float(value["width"]),
            int(value["stride"]),
            InputSpec(**value["input"]),
            Thresholds(**value["thresholds"]),
            value["interval"],
            bool(value["evidence"]),
            ScoreScale(**value.get("scale", {})),
        )


@dataclass(frozen=True)
class Bundle:
    """A checked bundle. digest: SHA-256 of bundle.json, which holds the digests of the graphs."""

    path: Path
    digest: str
    card: ModelCard
    scores: dict[str, Any] = field(default_factory=dict)
    description: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Bundle":
        """Read a bundle and check every digest. Raises InputError, naming the file that is wrong."""
        path = Path(path)
        description = read_json(path / DESCRIPTION, "bundle description")
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            raise InputError(f"{path / DESCRIPTION}: not an irdim bundle; make one with irdim-export RUN --int8")
        if description.get("version") != VERSION:
            raise InputError(
                f"{path / DESCRIPTION}: bundle version {description.get('version')}, this irdim reads {VERSION}; export the run again"
            )
        try:
            card, files = ModelCard.from_json(description["model"]), dict(description["files"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path / DESCRIPTION}: incomplete ({error}); export the run again") from None
        if set(files) != set(GRAPHS.values()):
            raise InputError(
                f"{path / DESCRIPTION}: must list exactly {', '.join(GRAPHS.values())}; export the run again"
            )
        for name, digest in files.items():
            if not (path / name).is_file():
                raise InputError(f"{path / name}: missing; copy the whole bundle again")
            if sha256(path / name) != digest:
                raise InputError(f"{path / name}: its digest differs from bundle.json's; copy the bundle again")
        return cls(path, sha256(path / DESCRIPTION), card, description.get("scores", {}), description)

    def graph(self, precision: str) -> Path:
        """Path of the 'int8' or 'fp32' graph."""
        if precision not in GRAPHS:
            raise InputError(f"precision '{precision}' is not known; choose one of {', '.join(GRAPHS)}")
        return self.path / GRAPHS[precision]


def write_description(folder: Path, card: ModelCard, scores: dict[str, Any], extra: dict[str, Any]) -> None:
    """Write bundle.json for the graphs that lie in `folder`."""
    files = {name: sha256(folder / name) for name in GRAPHS.values()}
    write_json(
        folder / DESCRIPTION,
        {"format": FORMAT, "version": VERSION, "model": card.to_json(), "scores": scores, "files": files, **extra},
    )
