"""The daemon's configuration: one TOML file, every key with its meaning, an unknown key refused."""

import json
import math
import socket
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from irdim.bundle import Bundle
from irdim.errors import InputError
from irdim.fieldlog import KINDS
from irdim.remote import check_url, has_password, hide_password, read_options
from irdim.signing import Signer, is_public_key
from irdim.tracks import TrackerOptions
from irdim_edge.cameras import open_replay
from irdim_edge.policy import Allowance
from irdim_edge.spool import Bounds
from irdim_edge.transfer import Hours
from irdim_edge.upload import Destination

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Path = Annotated[str, Field(min_length=1)]
_Pixels = Annotated[float, Field(allow_inf_nan=False)]
_Corner = tuple[_Pixels, _Pixels]
_DEFAULTS = TrackerOptions()
MB = 1 << 20
STARTER = "starter"
STARTER_FOLDER = Path(__file__).with_name(STARTER)  # tools/make_starter.py makes it


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraSection(_Section):
    name: str = Field(
        default="camera", pattern=r"^[\w.-]{1,60}$", description="Name of the camera; goes into every field log."
    )
    paths: list[_Path] = Field(
        default=["recordings"],
        min_length=1,
        description="Recorded sequences to replay, or folders of sequences, one after the other.",
    )
    rate: str | float = Field(
        default="own",
        description='"own": as fast as it was recorded; "flat-out": as fast as this machine can; a number: frames a second.',
    )
    interval: float = Field(
        default=0.0, ge=0, description="Seconds between frames; 0: as the recording or the bundle says."
    )
    step: int = Field(
        default=1, ge=1, le=1000, description="Take every n-th frame: for a camera faster than the bundle's interval."
    )

    masks: list[Annotated[list[_Corner], Field(min_length=3)]] = Field(
        default=[],
        description="Polygons on the sensor in which nothing is reported, px of the frame, such as [[[0, 400], [640, 400], [640, 512], [0, 512]]].",
    )

    @field_validator("rate")
    @classmethod
    def _known(cls, rate: str | float) -> str | float:
        if rate in ("own", "flat-out") or (isinstance(rate, float) and 0 < rate < math.inf):
            return rate
        raise ValueError('must be "own", "flat-out" or a number of frames a second above 0')


class TrackerSection(_Section):
    confirm_hits: int = Field(default=_DEFAULTS.confirm_hits, ge=1, description="Detections that confirm a track ...")
    confirm_window: int = Field(default=_DEFAULTS.confirm_window, ge=1, description="... within so many frames.")
    max_gap: int = Field(
        default=_DEFAULTS.max_gap, ge=0, description="Frames in a row without a detection that a track survives."
    )
    max_speed: float = Field(default=_DEFAULTS.max_speed, ge=0, description="px/frame; nothing faster is linked.")
    max_turn: float = Field(
        default=_DEFAULTS.max_turn, ge=0, description="px/frame by which a velocity may change in one frame."
    )
    lag: int = Field(default=_DEFAULTS.lag, ge=1, le=1000, description="Frames after which a verdict is final.")


class SuspectsSection(_Section):
    crop: int = Field(default=128, ge=16, description="Side of the square that is kept around a suspect, px.")
    whole_frame: bool = Field(default=False, description="Keep the suspect's frame whole, besides the crops.")
    before: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Frames kept before the suspect's; at least the history that the bundle's input needs.",
    )
    after: int = Field(default=5, ge=0, le=1000, description="Frames kept after it; at most the tracker's lag.")
    merge_seconds: float = Field(
        default=60.0, ge=0, description="A suspect on the place or track of one logged so lately is merged; 0: none is."
    )
    merge_radius: float = Field(default=8.0, ge=0, description="px on the sensor that count as one place.")
    sample_probability: float = Field(
        default=1e-5,
        ge=0,
        le=1,
        description="Share of frames taken whole at random, whatever is in them: what miss and false-alarm rates rest on.",
    )
    sample_seed: int = Field(
        default=0, description="Seed of the random sample; 0: another one at each start, as a live camera wants it."
    )
    missed_per_day: int = Field(
        default=500, ge=0, description="Most field logs of missed targets in 24 hours; 0: none."
    )
    missed_mb_per_day: float = Field(default=200.0, ge=0, description="Most megabytes of them.")
    false_alarm_per_day: int = Field(default=500, ge=0, description="The same of false alarms.")
    false_alarm_mb_per_day: float = Field(default=200.0, ge=0, description="Most megabytes of them.")
    low_confidence_per_day: int = Field(
        default=200, ge=0, description="The same of detections below the report threshold on a track."
    )
    low_confidence_mb_per_day: float = Field(default=100.0, ge=0, description="Most megabytes of them.")
    still_per_day: int = Field(default=50, ge=0, description="The same of tracks that stand still.")
    still_mb_per_day: float = Field(default=20.0, ge=0, description="Most megabytes of them.")
    sample_per_day: int = Field(
        default=100,
        ge=0,
        description="The same of the random sample; it is no longer random once it is bounded by this.",
    )
    sample_mb_per_day: float = Field(default=500.0, ge=0, description="Most megabytes of them.")


class SpoolSection(_Section):
    path: str = Field(default="", description="Folder of the field logs that wait; empty: spool in the output folder.")
    max_mb: float = Field(
        default=500.0, gt=0, description="Most megabytes in it; the least valuable are evicted first."
    )
    max_files: int = Field(default=5000, ge=1, description="Most files in it.")
    max_days: float = Field(
        default=90.0, ge=0, description="Age in days from which a field log is evicted; 0: none is."
    )


class UploadSection(_Section):
    url: str = Field(
        default="", description="Any fsspec URL: file:///..., sftp://user@host/..., s3://...; empty: no upload."
    )
    interval: float = Field(default=5.0, gt=0, description="Seconds between looks at the spool.")
    known_hosts: str = Field(
        default="", description="Host keys of SFTP servers (OpenSSH's format); empty: ~/.ssh/known_hosts."
    )
    identity: str = Field(default="", description="SSH key file for SFTP; empty: the agent's and ~/.ssh's.")
    options: str = Field(
        default="",
        description="JSON file (chmod 600) of fsspec storage options, such as an S3 key; empty: the environment's, ~/.aws.",
    )
    timeout: float = Field(default=15.0, gt=0, description="Seconds that a server may take to answer.")
    kb_per_second: float = Field(default=0.0, ge=0, description="Most kilobytes a second, each way; 0: no limit.")
    hours: list[str] = Field(
        default=[], description='When to upload, local time, such as ["22:00-06:00"]; empty: always.'
    )

    @model_validator(mode="after")
    def _sound(self) -> "UploadSection":
        Hours.parse(self.hours)
        if has_password(self.url):
            raise ValueError(
                "upload.url holds a credential; put it into a file, and set upload.options or upload.identity"
            )
        return self


class ServeSection(_Section):
    port: int = Field(
        default=0, ge=0, le=65535, description="Port of /healthz, /metrics (Prometheus) and /status; 0: none is opened."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on; another than loopback needs a token.")
    token_file: str = Field(
        default="", description="File of the token that every request must bear (Authorization: Bearer TOKEN)."
    )
    stale: float = Field(
        default=30.0, gt=0, description="Seconds without a frame from which /healthz says that something is wrong."
    )

    @model_validator(mode="after")
    def _guarded(self) -> "ServeSection":
        if self.port and self.host not in ("127.0.0.1", "::1", "localhost") and not self.token_file:
            raise ValueError(f"serve.host {self.host} is not loopback: set serve.token_file")
        return self

    @property
    def token(self) -> str:
        """Raises InputError where the file cannot be read, or holds none."""
        if not self.token_file:
            return ""
        try:
            token = Path(self.token_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.token_file}: cannot be read ({error}); write the token into it") from None
        if len(token) < 16 or not token.isascii():
            raise InputError(f"{self.token_file}: a token has at least 16 ASCII characters (openssl rand -hex 16)")
        return token


class Config(_Section):
    """What `irdim-edge run` is told. Relative paths count from the file's folder."""

    device: str = Field(default="", max_length=200, description="Name of this device; empty: its host name.")
    key: str = Field(
        default="", description="Private key that signs field logs (irdim-edge keygen); empty: they are not signed."
    )
    bundle: _Path = Field(
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
    threads: int = Field(default=0, ge=0, description="Threads of ONNX Runtime; 0: all cores.")
    out: _Path = Field(
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
    serve: ServeSection = ServeSection()

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        if self.suspects.after > self.tracker.lag:
            raise ValueError(f"suspects.after is {self.suspects.after}, more than tracker.lag {self.tracker.lag}")
        if self.tracker.confirm_hits > self.tracker.confirm_window:
            raise ValueError("tracker.confirm_hits is more than tracker.confirm_window")
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
        return STARTER_FOLDER if _is_starter(self.bundle) else Path(self.bundle)

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


def load_config(path: Path) -> Config:
    """Read a configuration; its relative paths become absolute. Raises InputError with one line that names file, key and reason."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; irdim-edge config prints one to begin with") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable TOML ({error})") from None
    return parse_config(text, Path(path))


def parse_config(text: str, path: Path) -> Config:
    """A configuration from its text; path: where it lies or will lie, from whose folder relative paths count. Raises InputError."""
    try:
        config = Config.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not readable TOML ({error})") from None
    except ValidationError as error:
        raise InputError(f"{path}: {_first(error)}") from None
    return _absolute(config, path.resolve().parent)


def check_config(config: Config, *, bundle: bool, source: bool, upload: bool) -> None:
    """Look at what a configuration names: the bundle loads, the recordings open and suit it, the URL can be used. Raises InputError."""
    card = Bundle.load(config.bundle_path, config.require_signed_by).card if bundle else None
    if source:
        camera = config.camera
        open_replay(
            camera.paths,
            rate=camera.rate,
            interval=camera.interval or None,
            nominal=card.interval if card else None,
            step=camera.step,
        )
    if upload:
        check_url(config.upload.url)


def number_or_text(text: str | None) -> float | str | None:
    """A number where it is one, as TOML would have it."""
    try:
        number = float(text or "")
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def commented_config(values: dict[str, Any] | None = None) -> str:
    """A configuration with every key, its default and its meaning. values: {'bundle': ..., 'camera.paths': ...} instead of defaults."""
    values = dict(values or {})
    lines = ["# irdim-edge run THIS-FILE. Relative paths count from this file's folder.", ""]
    sections = [("", Config), *((n, f.annotation) for n, f in Config.model_fields.items() if _is_section(f.annotation))]
    for prefix, section in sections:
        if prefix:
            lines += ["", f"[{prefix}]"]
        for name, f in section.model_fields.items():  # type: ignore[union-attr]
            if _is_section(f.annotation):
                continue
            value = values.pop(f"{prefix}.{name}" if prefix else name, f.default)
            lines += [f"# {f.description}", f"{name} = {json.dumps(value, ensure_ascii=False)}"]
    if values:
        raise InputError(f"no such key: {', '.join(values)}")
    return "\n".join(lines) + "\n"


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, _Section)


def _is_starter(bundle: str, folder: Path = Path()) -> bool:
    """A folder of that name wins over the one that comes with irdim."""
    return bundle == STARTER and not (folder / bundle).exists()


def _absolute(config: Config, folder: Path) -> Config:
    def at(text: str) -> str:
        return str(folder / Path(text).expanduser()) if text else ""

    url = config.upload.url
    return config.model_copy(
        update={
            "bundle": config.bundle if _is_starter(config.bundle, folder) else at(config.bundle),
            "key": at(config.key),
            "out": at(config.out),
            "camera": config.camera.model_copy(update={"paths": [at(p) for p in config.camera.paths]}),
            "serve": config.serve.model_copy(update={"token_file": at(config.serve.token_file)}),
            "spool": config.spool.model_copy(update={"path": at(config.spool.path)}),
            "upload": config.upload.model_copy(
                update={
                    "url": url if "://" in url else at(url),
                    "known_hosts": at(config.upload.known_hosts),
                    "identity": at(config.upload.identity),
                    "options": at(config.upload.options),
                }
            ),
        }
    )


def _first(error: ValidationError) -> str:
    one = error.errors()[0]
    key = ".".join(str(part) for part in one["loc"])
    if one["type"] == "extra_forbidden":
        return f"unknown key '{key}'; irdim-edge config lists the keys"
    message = one["msg"].removeprefix("Value error, ")
    if not key or isinstance(one["input"], dict):
        return message
    return f"{key}: {message} (it is {hide_password(repr(one['input']))})"
