"""A bundle is what leaves the workstation: a folder with the FP32 and the INT8 graph and `bundle.json`. Format: docs/formats.md.

The edge refuses what does not match its digests, and, where it is told whom to trust, what they have not signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.files import read_json, sha256, write_json
from irdim.npy import read_layout
from irdim.score_scale import ScoreScale
from irdim.signing import Signer, signature_of, signed_by

FORMAT, VERSION = "irdim-bundle", 3
READ = (1, 2, 3)  # versions; 1 holds the two graphs alone, 2 no graph for CPUs
DESCRIPTION, SIGNATURE = "bundle.json", "signature.json"
GRAPHS = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
CPU_GRAPH, HALF_GRAPH, WHOLE_GRAPH = "model.int8.cpu.onnx", "model.int8.fp16.onnx", "model.whole.onnx"
SAMPLES, REPORT = "samples.npy", "parity.html"
OTHERS = (CPU_GRAPH, HALF_GRAPH, WHOLE_GRAPH, SAMPLES, REPORT)  # that a bundle may hold besides
MOST_SAMPLES = 64 << 20  # bytes


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
    """A checked bundle. path: its folder, links followed; digest: SHA-256 of bundle.json, which holds the digests of all other files; signed_by: public key
    in hex, or None."""

    path: Path
    digest: str
    card: ModelCard
    scores: dict[str, Any] = field(default_factory=dict)
    description: dict[str, Any] = field(default_factory=dict)
    signed_by: str | None = None

    @classmethod
    def load(cls, path: Path, trusted: Sequence[str] = ()) -> "Bundle":
        """Read a bundle and check every digest, and the signature where there is one. trusted: public keys in hex, one of which must have signed; none:
        anybody may have made it. Raises InputError, naming the file that is wrong."""
        path = Path(path)
        if path.resolve() != path.absolute():
            path = path.resolve()  # a link that is set anew must not lead from what was checked to something else
        if (path / "run.json").is_file() and not (path / DESCRIPTION).exists():
            raise InputError(f"{path}: a run; make a bundle of it with irdim-export {path} --int8")
        description = read_json(path / DESCRIPTION, "bundle (irdim-export makes one)")
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            raise InputError(f"{path / DESCRIPTION}: not an irdim bundle; make one with irdim-export RUN --int8")
        if description.get("version") not in READ:
            raise InputError(
                f"{path / DESCRIPTION}: bundle version {description.get('version')}, this irdim reads {VERSION}; export the run again"
            )
        signed_by = _check_signature(path, trusted)
        try:
            card, files = ModelCard.from_json(description["model"]), dict(description["files"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path / DESCRIPTION}: incomplete ({error}); export the run again") from None
        if not set(GRAPHS.values()) <= set(files) or not set(files) <= {*GRAPHS.values(), *OTHERS}:
            raise InputError(
                f"{path / DESCRIPTION}: must list exactly {', '.join(GRAPHS.values())}, and of others only {', '.join(OTHERS)}; "
                "export the run again"
            )
        for name, digest in files.items():
            if not (path / name).is_file():
                raise InputError(f"{path / name}: missing; copy the whole bundle again")
            if sha256(path / name) != digest:
                raise InputError(f"{path / name}: its digest differs from bundle.json's; copy the bundle again")
        return cls(path, sha256(path / DESCRIPTION), card, description.get("scores", {}), description, signed_by)

    @property
    def files(self) -> dict[str, str]:
        """Name to SHA-256 of every file beside bundle.json and its signature."""
        return dict(self.description["files"])

    def graph(self, precision: str) -> Path:
        """Path of the 'int8' or 'fp32' graph."""
        if precision not in GRAPHS:
            raise InputError(f"precision '{precision}' is not known; choose one of {', '.join(GRAPHS)}")
        return self.path / GRAPHS[precision]

    def cpu_graph(self, precision: str) -> Path:
        """The same graph in the form that runs best on a CPU, where the bundle has one."""
        graph = self.graph(precision)
        return self.path / CPU_GRAPH if precision == "int8" and CPU_GRAPH in self.files else graph

    def samples(self) -> list[np.ndarray]:
        """Inputs (C, H, W) float32 of sample frames, H and W multiples of the stride. Raises InputError where there are none."""
        if SAMPLES not in self.files:
            raise InputError(f"{self.path}: holds no sample frames to check an engine on; export the run again")
        layout = read_layout(self.path / SAMPLES)
        fits = len(layout.shape) == 4 and layout.shape[1] == self.card.input.channels and layout.dtype == np.float16
        stride = self.card.stride
        if (
            not fits
            or layout.shape[2] % stride
            or layout.shape[3] % stride
            or layout.shape[0] * layout.row_bytes > MOST_SAMPLES
        ):
            raise InputError(
                f"{self.path / SAMPLES}: {layout.dtype} of shape {layout.shape} are no samples of this network"
            )
        return list(np.load(self.path / SAMPLES, allow_pickle=False).astype(np.float32))


def write_description(
    folder: Path, card: ModelCard, scores: dict[str, Any], extra: dict[str, Any], signer: Signer | None = None
) -> None:
    """Write bundle.json for what lies in `folder`, and its signature where somebody signs."""
    files = {name: sha256(folder / name) for name in (*GRAPHS.values(), *OTHERS) if (folder / name).is_file()}
    write_json(
        folder / DESCRIPTION,
        {"format": FORMAT, "version": VERSION, "model": card.to_json(), "scores": scores, "files": files, **extra},
    )
    if signer is not None:
        write_json(folder / SIGNATURE, signature_of((folder / DESCRIPTION).read_bytes(), signer))


def _check_signature(path: Path, trusted: Sequence[str]) -> str | None:
    """Who signed bundle.json; None where nobody did. Raises InputError where the signature is wrong, or none of the trusted."""
    if not (path / SIGNATURE).is_file():
        if trusted:
            raise InputError(f"{path}: is not signed, and a signature is required; export it with --sign KEY")
        return None
    key = signed_by(read_json(path / SIGNATURE, "signature"), (path / DESCRIPTION).read_bytes())
    if key is None:
        raise InputError(f"{path / SIGNATURE}: does not match bundle.json; copy the bundle again")
    if trusted and key not in trusted:
        raise InputError(f"{path}: signed by {key}, which is not among the keys that are trusted")
    return key
