"""What goes into a field log or a tally, and what comes out of its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from irdim.tracks import FALSE_ALARM, MISSED, STILL

LOW_CONFIDENCE, SAMPLE, TALLY = "low_confidence", "sample", "tally"
KINDS = (MISSED, FALSE_ALARM, STILL, LOW_CONFIDENCE, SAMPLE)  # of suspects


@dataclass(frozen=True, eq=False)
class Suspect:
    """What goes into a field log. Coordinates are px of the camera's frame; lists go by frame, oldest first.

    verdict: kind, frame, x, y, w, h, score, track, reason; frames: (n, H, W) uint8/uint16, contiguous; indices, times: of each of them;
    origin: (top, left) of the crop in the camera's frame; sensor: its (H, W); detections: {frame, x, y, w, h, score, label} on these frames;
    track: {id, status, points} or None; context: camera, source, device, bundle, input, thresholds, interval; sample_probability: with which
    the frame was taken, for kind `sample` and no other; camera_state: what the camera says of itself (temperature, gain, ...), name to
    number, text, truth value or None; whole_frame: the verdict's frame (H, W) of the sensor, or None.
    """

    verdict: Mapping[str, Any]
    frames: np.ndarray
    indices: list[int]
    times: list[float]
    origin: tuple[int, int]
    sensor: tuple[int, int]
    detections: list[dict[str, Any]]
    track: dict[str, Any] | None
    context: Mapping[str, Any]
    at: datetime
    sample_probability: float | None = None
    camera_state: Mapping[str, Any] = field(default_factory=dict)
    whole_frame: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class FieldLog:
    """A checked field log. digest: SHA-256 of the file; manifest: SHA-256 of log.json, the same however it is zipped; device_key: whose
    signature it bears, verified, or None; description: log.json; frames: (n, H, W), oldest first; whole_frame: (H, W) or None."""

    path: Path
    digest: str
    manifest: str
    device_key: str | None
    description: dict[str, Any]
    frames: np.ndarray
    whole_frame: np.ndarray | None = None

    @property
    def kind(self) -> str:
        return str(self.description["verdict"]["kind"])

    @property
    def score(self) -> float:
        return float(self.description["verdict"]["score"])

    @property
    def index(self) -> int:
        """Which of the frames the verdict is about."""
        return list(self.description["frames"]["indices"]).index(self.description["verdict"]["frame"])

    @property
    def place(self) -> tuple[float, float, float, float]:
        """x, y, w, h of the verdict in px of the crop."""
        verdict, (top, left) = self.description["verdict"], self.description["frames"]["origin"]
        return verdict["x"] - left, verdict["y"] - top, verdict["w"], verdict["h"]


@dataclass(frozen=True)
class Tally:
    """What a device counted in a stretch of time, so that rates can be computed where its suspects arrive.

    device, camera: who; bundle: digest; begin, end: UTC, by the device's clock; frames: all that came; warming: those that nothing was
    looked for on, by reason; detections: reported ones; tracks: confirmed; suspects: kind -> {logged, merged, over_budget, evicted: number};
    inputs: name (`sigma_difference`, `sigma_frame`, `level`; counts) -> {edges: (n + 1,), counts: (n,)}, a histogram over frames.
    """

    device: str
    camera: str
    bundle: str
    begin: datetime
    end: datetime
    frames: int
    warming: Mapping[str, int]
    detections: int
    tracks: int
    suspects: Mapping[str, Mapping[str, int]]
    inputs: Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True)
class TallyLog:
    """A checked tally file; digest, manifest, device_key: as of a FieldLog."""

    path: Path
    digest: str
    manifest: str
    device_key: str | None
    tally: Tally

    @property
    def kind(self) -> str:
        return TALLY
