"""The sections of the configuration, every key with its default and its meaning."""

import math
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from irdim.errors import InputError
from irdim.remote import has_password
from irdim.tracks import TrackerOptions
from irdim_edge.config.addresses import Broker, check_url, split_address
from irdim_edge.transfer import Hours

FilePath = Annotated[str, Field(min_length=1)]
_Pixels = Annotated[float, Field(allow_inf_nan=False)]
_Corner = tuple[_Pixels, _Pixels]
_DEFAULTS = TrackerOptions()


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraSection(Section):
    name: str = Field(
        default="camera", pattern=r"^[\w.-]{1,60}$", description="Name of the camera; goes into every field log."
    )
    paths: list[FilePath] = Field(
        default=["recordings"],
        min_length=1,
        description="Recorded sequences to replay, or folders of sequences, one after the other.",
    )
    stream: str = Field(
        default="",
        description='A live camera, not recordings: "v4l2:/dev/video0", "gst:PIPELINE" (GStreamer), "aravis:ID" (GigE Vision), "rtsp://..."; docs/cameras.md.',
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
    timeout: float = Field(
        default=3.0, gt=0, description="Seconds without a frame after which a live camera is opened again."
    )
    stuck: float = Field(
        default=5.0, gt=0, description="Seconds of the very same picture after which it is opened again."
    )
    conditions: bool = Field(
        default=True,
        description="Whether a live camera's shutter and steps of its gain are looked for; frames before them are not compared with those after.",
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


class TrackerSection(Section):
    confirm_hits: int = Field(
        default=_DEFAULTS.confirm_hits, ge=1, description="Detections, weak ones too, that confirm a track ..."
    )
    confirm_window: int = Field(default=_DEFAULTS.confirm_window, ge=1, description="... within so many frames.")
    max_gap: int = Field(
        default=_DEFAULTS.max_gap, ge=0, description="Frames in a row without a detection that a track survives."
    )
    max_speed: float = Field(default=_DEFAULTS.max_speed, ge=0, description="px/frame; nothing faster is linked.")
    max_turn: float = Field(
        default=_DEFAULTS.max_turn, ge=0, description="px/frame by which a velocity may change in one frame."
    )
    lag: int = Field(default=_DEFAULTS.lag, ge=1, le=1000, description="Frames after which a verdict is final.")


class SuspectsSection(Section):
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


class SpoolSection(Section):
    path: str = Field(default="", description="Folder of the field logs that wait; empty: spool in the output folder.")
    max_mb: float = Field(
        default=500.0, gt=0, description="Most megabytes in it; the least valuable are evicted first."
    )
    max_files: int = Field(default=5000, ge=1, description="Most files in it.")
    max_days: float = Field(
        default=90.0, ge=0, description="Age in days from which a field log is evicted; 0: none is."
    )


class UploadSection(Section):
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
        check_url(self.url)
        if has_password(self.url):
            raise ValueError(
                "upload.url holds a credential; put it into a file, and set upload.options or upload.identity"
            )
        return self


class ServeSection(Section):
    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of the live page, /healthz, /metrics (Prometheus) and /status; 0: none is opened.",
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


class OutputSection(Section):
    udp: str = Field(
        default="",
        description='Where detections go as datagrams of JSON, such as "192.168.1.20:5005"; empty: nowhere. docs/formats.md has the schema.',
    )
    mqtt: str = Field(
        default="",
        description='Where they go over MQTT, such as "mqtt://broker:1883/sky/west" (mqtts:// for TLS); empty: nowhere.',
    )
    mqtt_user: str = Field(default="", description="User name for it.")
    mqtt_password_file: str = Field(default="", description="File of the password (chmod 600).")
    mqtt_ca: str = Field(
        default="", description="PEM file of who vouches for an mqtts:// broker; empty: whom the system trusts."
    )
    every_frame: bool = Field(
        default=False, description="Send each frame; else those with a detection or a confirmed track."
    )

    @model_validator(mode="after")
    def _authority_without_tls(self) -> "OutputSection":
        if self.mqtt_ca and not self.mqtt.startswith("mqtts://"):
            raise ValueError("output.mqtt_ca: is for an mqtts:// broker, and output.mqtt is none")
        return self

    @field_validator("udp")
    @classmethod
    def _host_and_port(cls, text: str) -> str:
        if text:
            split_address(text)
        return text

    @field_validator("mqtt")
    @classmethod
    def _broker(cls, text: str) -> str:
        if text and has_password(text):
            raise ValueError("holds a credential; set output.mqtt_user and output.mqtt_password_file")
        if text:
            Broker.parse(text)
        return text


class OpticsSection(Section):
    field_of_view: list[float] = Field(
        default=[0.0, 0.0],
        min_length=2,
        max_length=2,
        description="Of the whole frame, degrees across and down; 0: not known, and no bearings are given.",
    )
    azimuth: float = Field(
        default=0.0, ge=-360, le=360, description="Where the frame's centre looks: degrees from north, clockwise."
    )
    elevation: float = Field(default=0.0, ge=-90, le=90, description="Degrees above the horizon.")
    roll: float = Field(
        default=0.0, ge=-180, le=180, description="Degrees by which the camera is turned clockwise about its axis."
    )

    @field_validator("field_of_view")
    @classmethod
    def _less_than_half_a_turn(cls, angles: list[float]) -> list[float]:
        if angles != [0.0, 0.0] and not all(0 < a < 180 for a in angles):
            raise ValueError("must be two angles between 0 and 180 degrees, or 0 and 0")
        return angles
