"""The daemon's configuration as a whole, and what it stands for."""

import socket
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from irdim.errors import InputError
from irdim.fieldlog import KINDS
from irdim.remote import read_options
from irdim.signing import Signer, is_public_key
from irdim.tracks import TrackerOptions
from irdim_edge.config.sections import (
    CameraSection,
    FilePath,
    OpticsSection,
    OutputSection,
    Section,
    ServeSection,
    SpoolSection,
    SuspectsSection,
    TrackerSection,
    UploadSection,
)
from irdim_edge.policy import Allowance
from irdim_edge.spool import Bounds
from irdim_edge.transfer import Hours
from irdim_edge.upload import Destination

MB = 1 << 20
STARTER = "starter"
STARTER_FOLDER = Path(__file__).parents[1] / STARTER  # tools/make_starter.py makes it


class Config(Section):
    """What `irdim-edge run` is told. Relative paths count from the file's folder."""

    device: str = Field(default="", max_length=200, description="Name of this device; empty: its host name.")
    key: str = Field(
        default="", description="Private key that signs field logs (irdim-edge keygen); empty: they are not signed."
    )
    bundle: FilePath = Field(
        default=STARTER,
        description=f'The bundle to run (made by irdim-export); "{STARTER}": the one that comes with irdim, trained on generated sequences alone.',
    )
    precision: Literal["int8", "fp32"] = Field(default="int8", description='Which of its graphs: "int8" or "fp32".')
    engine: Literal["auto", "onnxruntime", "tensorrt"] = Field(
        default="auto",
        description='"onnxruntime", "tensorrt", or "auto": TensorRT where it, pycuda and a GPU are there.',
    )
    require_signed_by: list[str] = Field(
        default=[],
        description="Public keys (64 hex digits), one of which must have signed the bundle (irdim-export --sign); empty: none need.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="Threads of ONNX Runtime; 0: all cores, but for one of five and more, which is the input step's.",
    )
    out: FilePath = Field(
        default="edge-out", description="Folder of detections, verdicts, status and, unless set below, the spool."
    )
    max_mb: float = Field(
        default=1000.0,
        gt=0,
        description="Most megabytes of detections and verdicts; the oldest parts are removed first.",
    )
    camera: CameraSection = CameraSection()
    tracker: TrackerSection = TrackerSection()
    suspects: SuspectsSection = SuspectsSection()
    spool: SpoolSection = SpoolSection()
    upload: UploadSection = UploadSection()
    output: OutputSection = OutputSection()
    optics: OpticsSection = OpticsSection()
    serve: ServeSection = ServeSection()

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        if self.suspects.after > self.tracker.lag:
            raise ValueError(f"suspects.after is {self.suspects.after}, more than tracker.lag {self.tracker.lag}")
        if self.tracker.confirm_hits > self.tracker.confirm_window:
            hits, window = self.tracker.confirm_hits, self.tracker.confirm_window
            raise ValueError(
                f"tracker.confirm_hits, {hits}, is more than tracker.confirm_window, {window}; raise that one"
            )
        if wrong := [key for key in self.require_signed_by if not is_public_key(key)]:
            raise ValueError(f"require_signed_by: '{wrong[0]}' is no public key (64 hex digits)")
        return self

    @property
    def device_name(self) -> str:
        return self.device or socket.gethostname() or "device"

    @property
    def signer(self) -> Signer | None:
        """Who signs field logs. Raises InputError where the key does not do."""
        return Signer.load(Path(self.key)) if self.key else None

    @property
    def bundle_path(self) -> Path:
        return STARTER_FOLDER if is_starter(self.bundle) else Path(self.bundle)

    @property
    def out_path(self) -> Path:
        return Path(self.out)

    @property
    def spool_path(self) -> Path:
        return Path(self.spool.path or Path(self.out) / "spool")

    @property
    def spool_bounds(self) -> Bounds:
        return Bounds(int(self.spool.max_mb * MB), self.spool.max_files, self.spool.max_days or None)

    @property
    def allowances(self) -> dict[str, Allowance]:
        """What each kind of suspect may take in a day."""
        s = self.suspects
        return {k: Allowance(getattr(s, f"{k}_per_day"), getattr(s, f"{k}_mb_per_day") * MB) for k in KINDS}

    @property
    def destination(self) -> Destination:
        """Where field logs go. Raises InputError where no URL is set, or the file of options does not do."""
        u = self.upload
        if not u.url:
            raise InputError("upload.url is not set in the configuration; say where to upload to")
        return Destination(
            u.url,
            known_hosts=Path(u.known_hosts) if u.known_hosts else None,
            identity=Path(u.identity) if u.identity else None,
            options=read_options(Path(u.options)) if u.options else {},
            timeout=u.timeout,
            bytes_per_second=u.kb_per_second * 1000 or None,
            hours=Hours.parse(u.hours),
        )

    def tracker_options(self, report: float) -> TrackerOptions:
        """The tracker's options, with the bundle's report threshold."""
        return TrackerOptions(report=report, **self.tracker.model_dump())


def is_starter(bundle: str, folder: Path = Path()) -> bool:
    """A folder of that name wins over the one that comes with irdim."""
    return bundle == STARTER and not (folder / bundle).exists()
