"""The daemon's configuration: one TOML file, every key with its meaning, an unknown key refused."""

import json
import socket
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from irdim.errors import InputError
from irdim.tracks import TrackerOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Path = Annotated[str, Field(min_length=1)]
_DEFAULTS = TrackerOptions()


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
    rate: Literal["own", "flat-out"] = Field(
        default="own", description='"own": as fast as it was recorded; "flat-out": as fast as this machine can.'
    )
    interval: float = Field(
        default=0.0, ge=0, description="Seconds between frames; 0: as the recording or the bundle says."
    )


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
    whole_frame: bool = Field(default=False, description="Keep whole frames instead.")
    before: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Frames kept before the suspect's; at least the history that the bundle's input needs.",
    )
    after: int = Field(default=5, ge=0, le=1000, description="Frames kept after it; at most the tracker's lag.")
    missed_per_hour: int = Field(default=60, ge=0, description="Most field logs an hour of missed targets; 0: none.")
    false_alarm_per_hour: int = Field(default=60, ge=0, description="The same of false alarms.")
    still_per_hour: int = Field(default=10, ge=0, description="The same of tracks that stand still.")


class SpoolSection(_Section):
    path: str = Field(default="", description="Folder of the field logs that wait; empty: spool in the output folder.")
    max_mb: float = Field(
        default=500.0, gt=0, description="Most megabytes in it; the least valuable are evicted first."
    )
    max_files: int = Field(default=5000, ge=1, description="Most files in it.")


class UploadSection(_Section):
    url: str = Field(
        default="", description="Any fsspec URL: file:///..., sftp://user@host/..., s3://...; empty: no upload."
    )
    interval: float = Field(default=5.0, gt=0, description="Seconds between looks at the spool.")
    known_hosts: str = Field(
        default="", description="Host keys of SFTP servers (OpenSSH's format); empty: ~/.ssh/known_hosts."
    )
    identity: str = Field(default="", description="SSH key file for SFTP; empty: the agent's and ~/.ssh's.")


class Config(_Section):
    """What `irdim-edge run` is told. Relative paths count from the file's folder."""

    device: str = Field(default="", max_length=200, description="Name of this device; empty: its host name.")
    bundle: _Path = Field(default="bundle", description="The bundle to run (made by irdim-export).")
    precision: Literal["int8", "fp32"] = Field(default="int8", description='Which of its graphs: "int8" or "fp32".')
    threads: int = Field(default=0, ge=0, description="Threads of the engine; 0: all cores.")
    out: _Path = Field(
        default="edge-out", description="Folder of detections, verdicts, status and, unless set below, the spool."
    )
    camera: CameraSection = CameraSection()
    tracker: TrackerSection = TrackerSection()
    suspects: SuspectsSection = SuspectsSection()
    spool: SpoolSection = SpoolSection()
    upload: UploadSection = UploadSection()

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        if self.suspects.after > self.tracker.lag:
            raise ValueError(f"suspects.after is {self.suspects.after}, more than tracker.lag {self.tracker.lag}")
        if self.tracker.confirm_hits > self.tracker.confirm_window:
            raise ValueError("tracker.confirm_hits is more than tracker.confirm_window")
        return self

    @property
    def device_name(self) -> str:
        return self.device or socket.gethostname() or "device"

    @property
    def bundle_path(self) -> Path:
        return Path(self.bundle)

    @property
    def known_hosts(self) -> Path | None:
        return Path(self.upload.known_hosts) if self.upload.known_hosts else None

    @property
    def identity(self) -> Path | None:
        return Path(self.upload.identity) if self.upload.identity else None

    @property
    def out_path(self) -> Path:
        return Path(self.out)

    @property
    def spool_path(self) -> Path:
        return Path(self.spool.path or Path(self.out) / "spool")

    def tracker_options(self, report: float) -> TrackerOptions:
        """The tracker's options, with the bundle's report threshold."""
        return TrackerOptions(report=report, **self.tracker.model_dump())


def load_config(path: Path) -> Config:
    """Read a configuration; its relative paths become absolute. Raises InputError with one line that names file, key and reason."""
    try:
        value = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; irdim-edge config prints one to begin with") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not readable TOML ({error})") from None
    try:
        config = Config.model_validate(value)
    except ValidationError as error:
        raise InputError(f"{path}: {_first(error)}") from None
    return _absolute(config, Path(path).resolve().parent)


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


def _absolute(config: Config, folder: Path) -> Config:
    def at(text: str) -> str:
        return str(folder / Path(text).expanduser()) if text else ""

    url = config.upload.url
    return config.model_copy(
        update={
            "bundle": at(config.bundle),
            "out": at(config.out),
            "camera": config.camera.model_copy(update={"paths": [at(p) for p in config.camera.paths]}),
            "spool": config.spool.model_copy(update={"path": at(config.spool.path)}),
            "upload": config.upload.model_copy(
                update={
                    "url": url if "://" in url else at(url),
                    "known_hosts": at(config.upload.known_hosts),
                    "identity": at(config.upload.identity),
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
    return f"{key}: {message} (it is {one['input']!r})" if key else message
