"""Field logs: one suspect, its lossless frames and all that is known about it, in one file. Format: docs/formats.md.

A `.irlog` is a zip of `log.json` and `frames.npy`. Reading trusts nothing: sizes are bounded before anything is inflated, and shapes, depth and
digest must be what the file says of itself.
"""

import hashlib
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from irdim.errors import InputError
from irdim.files import atomic_file

FORMAT, VERSION, SUFFIX = "irdim-field-log", 1, ".irlog"
DESCRIPTION, FRAMES = "log.json", "frames.npy"
MOST_FILE = 512 << 20  # bytes a log file may have
MOST_JSON = 4 << 20  # bytes of log.json, inflated
MOST_PIXELS = 512 << 20  # bytes of the frames, inflated
MOST_FRAMES, MOST_SIDE = 4096, 16384
NAME = re.compile(r"\d{8}T\d{9}Z-[a-z_]{1,40}-[0-9a-f]{16}\.irlog")
_DEPTHS: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}


@dataclass(frozen=True, eq=False)
class Suspect:
    """What goes into a field log. Coordinates are px of the camera's frame; lists go by frame, oldest first.

    verdict: kind, frame, x, y, w, h, score, track, reason; frames: (n, H, W) uint8/uint16, contiguous; indices, times: of each of them;
    origin: (top, left) of the crop in the camera's frame; sensor: its (H, W); detections: {frame, x, y, w, h, score, label} on these frames;
    track: {id, status, points} or None; context: camera, source, device, bundle, input, thresholds, interval.
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


@dataclass(frozen=True, eq=False)
class FieldLog:
    """A checked field log. digest: SHA-256 of the file; description: log.json; frames: (n, H, W), oldest first."""

    path: Path
    digest: str
    description: dict[str, Any]
    frames: np.ndarray

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


def pack_log(suspect: Suspect) -> tuple[str, bytes]:
    """The file name <time>-<kind>-<sha256[:16]>.irlog and the bytes of a suspect's field log. Equal suspects give equal bytes.

    Raises InputError where a reader would refuse it.
    """
    depth = _DEPTHS[suspect.frames.dtype.name]
    pixels = np.ascontiguousarray(suspect.frames, depth)
    at = suspect.at.astimezone(timezone.utc)
    description = {
        "format": FORMAT,
        "version": VERSION,
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **suspect.context,
        "verdict": dict(suspect.verdict),
        "frames": {
            "indices": suspect.indices,
            "times": suspect.times,
            "shape": list(pixels.shape),
            "dtype": suspect.frames.dtype.name,
            "origin": list(suspect.origin),
            "sensor": list(suspect.sensor),
            "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        },
        "detections": suspect.detections,
        "track": suspect.track,
    }
    _check_description(f"suspect {suspect.verdict['kind']} on frame {suspect.verdict['frame']}", description)
    array = io.BytesIO()
    np.save(array, pixels, allow_pickle=False)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        text = json.dumps(description, allow_nan=False).encode()
        for name, data in ((DESCRIPTION, text), (FRAMES, array.getvalue())):
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    data = packed.getvalue()
    stamp = at.strftime("%Y%m%dT%H%M%S") + f"{at.microsecond // 1000:03d}Z"
    return f"{stamp}-{suspect.verdict['kind']}-{hashlib.sha256(data).hexdigest()[:16]}{SUFFIX}", data


def write_log(folder: Path, suspect: Suspect) -> Path:
    """Write a suspect's field log into `folder`, whole or not at all; returns its path."""
    name, data = pack_log(suspect)
    with atomic_file(folder / name) as file:
        file.write(data)
    return folder / name


def read_log(path: Path) -> FieldLog:
    """Read and check a field log. Raises InputError, saying what is wrong with it."""
    data, description = _open(Path(path))
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        frames = _frames(path, _member(path, file, FRAMES, MOST_PIXELS + 4096), description["frames"])
    return FieldLog(Path(path), hashlib.sha256(data).hexdigest(), description, frames)


def read_description(path: Path) -> dict[str, Any]:
    """log.json of a field log whose name and digest agree, without inflating its frames. Raises InputError."""
    return _open(Path(path))[1]


def digest_in(name: str) -> str:
    """The first 16 hex digits of the digest, as a log's file name states them. Raises InputError where it is no such name."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name}: not the name of a field log (<time>-<kind>-<digest>{SUFFIX})")
    return name[-len(SUFFIX) - 16 : -len(SUFFIX)]


def _open(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The file's bytes and its checked description."""
    stated = digest_in(path.name)
    try:
        size = path.stat().st_size
        if size > MOST_FILE:
            raise InputError(f"{path}: {size} bytes; a field log has at most {MOST_FILE}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such field log") from None
    if not hashlib.sha256(data).hexdigest().startswith(stated):
        raise InputError(f"{path}: its digest is not the one in its name; truncated or changed, fetch it again")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            if sorted(file.namelist()) != [FRAMES, DESCRIPTION]:
                raise InputError(f"{path}: holds other files than {DESCRIPTION} and {FRAMES}; not a field log")
            text = _member(path, file, DESCRIPTION, MOST_JSON)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a readable zip ({error})") from None
    return data, _description(path, text)


def _member(path: Path, file: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member's bytes; no more than `most` of them are ever inflated, whatever the zip says of itself."""
    try:
        if file.getinfo(name).file_size > most:
            raise InputError(f"{path}: its {name} would inflate to more than {most} bytes; refused")
        with file.open(name) as member:
            data = member.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: its {name} is damaged ({error})") from None
    if len(data) > most:
        raise InputError(f"{path}: its {name} inflates to more than {most} bytes; refused")
    return data


def _description(path: Path, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its {DESCRIPTION} is not JSON ({error})") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InputError(f"{path}: not an irdim field log")
    if value.get("version") != VERSION:
        raise InputError(f"{path}: field log version {value.get('version')!r}; this irdim reads {VERSION}")
    _check_description(str(path), value)
    return value


def _check_description(what: str, value: dict[str, Any]) -> None:
    try:
        _check(value)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise InputError(f"{what}: its {DESCRIPTION} is incomplete or wrong ({_words(error)})") from None


def _check(value: dict[str, Any]) -> None:
    """Raises what the caller turns into InputError."""
    verdict, frames = value["verdict"], value["frames"]
    for name in ("device", "camera", "bundle"):
        if not isinstance(value[name], str) or not 0 < len(value[name]) <= 200 or not value[name].isprintable():
            raise ValueError(f"{name} must be a text of 1 to 200 characters")
    datetime.fromisoformat(value["time"].replace("Z", "+00:00"))
    interval = value.get("interval")
    if interval is not None and not (_number(interval) and interval > 0):
        raise ValueError("interval must be a positive number or null")
    if not re.fullmatch("[a-z_]{1,40}", verdict["kind"]):
        raise ValueError("verdict kind")
    if not all(_number(verdict[k]) for k in ("x", "y", "w", "h", "score")):
        raise ValueError("verdict x, y, w, h and score must be finite numbers")
    if (
        verdict["w"] <= 0
        or verdict["h"] <= 0
        or not 0 <= verdict["score"] <= 1
        or not isinstance(verdict["reason"], str)
    ):
        raise ValueError("verdict w and h above 0, score 0 to 1, reason a text")
    count, height, width = (_whole(n) for n in frames["shape"])
    if not (1 <= count <= MOST_FRAMES and 1 <= height <= MOST_SIDE and 1 <= width <= MOST_SIDE):
        raise ValueError(f"absurd shape {frames['shape']}")
    if frames["dtype"] not in _DEPTHS or count * height * width * _DEPTHS[frames["dtype"]].itemsize > MOST_PIXELS:
        raise ValueError(f"absurd frames: {frames['dtype']} {frames['shape']}")
    indices, times = [_whole(i) for i in frames["indices"]], frames["times"]
    if len(indices) != count or indices != sorted(set(indices)) or len(times) != count or not all(map(_number, times)):
        raise ValueError("one rising index and one time for each frame")
    if _whole(verdict["frame"]) not in indices:
        raise ValueError("the verdict's frame is not among the frames")
    (top, left), (rows, columns) = map(_whole, frames["origin"]), map(_whole, frames["sensor"])
    if top < 0 or left < 0 or top + height > rows or left + width > columns:
        raise ValueError("the crop lies outside the sensor")
    if not (left <= verdict["x"] <= left + width and top <= verdict["y"] <= top + height):
        raise ValueError("the verdict's place lies outside the crop")
    if not isinstance(value["detections"], list) or not isinstance(value["track"], dict | None):
        raise ValueError("detections must be a list, track an object or null")


def _frames(path: Path, data: bytes, stated: dict[str, Any]) -> np.ndarray:
    """The array, if it is of the depth, shape and digest that log.json states. Nothing is allocated on the .npy header's word."""
    stream = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("a .npy of another version than 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except Exception as error:  # NumPy's header parser raises what ast, tokenize and struct raise
        raise InputError(f"{path}: its {FRAMES} is not a readable array ({_words(error)})") from None
    if list(shape) != stated["shape"] or fortran or dtype != _DEPTHS[stated["dtype"]]:
        raise InputError(
            f"{path}: its {FRAMES} is {dtype} {shape}, {DESCRIPTION} says {stated['dtype']} {stated['shape']}"
        )
    pixels = data[stream.tell() :]
    if len(pixels) != math.prod(shape) * dtype.itemsize:
        raise InputError(f"{path}: its {FRAMES} is truncated or has bytes too many")
    if hashlib.sha256(pixels).hexdigest() != stated["sha256"]:
        raise InputError(f"{path}: the digest of its frames is wrong; fetch it again")
    return np.frombuffer(pixels, dtype).reshape(shape)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 53:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not allowed")


def _words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    return " ".join(str(error).split())[:200] or type(error).__name__
