"""What the descriptions of field logs and tallies must say. Documented in docs/formats.md, as a JSON schema in docs/fieldlog.schema.json."""

import itertools
import json
import math
import re
from typing import Any

import numpy as np

from irdim.fieldlog.container import parse_utc
from irdim.fieldlog.pixels import AXES
from irdim.fieldlog.records import KINDS, SAMPLE
from irdim.signing import is_public_key

LOG_FORMAT, TALLY_FORMAT, VERSION = "irdim-field-log", "irdim-tally", 2
READABLE = {LOG_FORMAT: (1, VERSION), TALLY_FORMAT: (VERSION,)}
DEPTHS: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}
MOST_BYTES = 256 << 20  # of the frames' pixels, and of the whole frame's
MOST_FRAMES, MOST_SIDE = 4096, 16384
MOST_DETECTIONS, MOST_STATE = 20_000, 200
MOST_INPUTS, MOST_BINS, MOST_COUNTS = 32, 1024, 64
_LABEL = re.compile("[a-z][a-z0-9_]{0,39}")


def check_format(value: dict[str, Any], wanted: str) -> None:
    """Raises ValueError unless it is a description of this format, in a version that is read."""
    if value.get("format") != wanted:
        raise ValueError(f"format {str(value.get('format'))[:60]!r} instead of {wanted!r}")
    version = value.get("version")
    if version not in READABLE[wanted] or isinstance(version, bool):
        raise ValueError(f"version {str(version)[:20]}; this irdim reads up to {VERSION}")


def check_log(value: dict[str, Any]) -> None:
    """Raises ValueError, KeyError, TypeError or the like, which the caller turns into InputError."""
    verdict, frames = value["verdict"], value["frames"]
    _check_origin(value)
    parse_utc(value["time"])
    _check_settings(value)
    key = value.get("device_key")
    if key is not None and not is_public_key(key):
        raise ValueError("device_key must be 64 hex digits or null")
    if verdict["kind"] not in KINDS:
        raise ValueError(f"kind {str(verdict['kind'])[:40]!r}, which this irdim does not know")
    if not all(_number(verdict[k]) for k in ("x", "y", "w", "h", "score")):
        raise ValueError("verdict x, y, w, h and score must be finite numbers")
    if verdict["w"] <= 0 or verdict["h"] <= 0 or not 0 <= verdict["score"] <= 1:
        raise ValueError("verdict w and h must be above 0, score 0 to 1")
    _check_text("verdict reason", verdict["reason"], 1000)
    _check_frames(frames, verdict)
    _check_probability(verdict["kind"], value.get("sample_probability"))
    _check_whole(value.get("whole_frame"), frames)
    _check_state(value.get("camera_state", {}))
    detections = value["detections"]
    if not isinstance(detections, list) or len(detections) > MOST_DETECTIONS:
        raise ValueError(f"detections must be a list of at most {MOST_DETECTIONS}")
    for d in detections:
        if not all(_number(d[k]) for k in ("x", "y", "w", "h", "score")):
            raise ValueError("a detection's x, y, w, h and score must be finite numbers")
        _check_text("a detection's label", d["label"], 40)
        whole(d["frame"])
    if not isinstance(value["track"], dict | None):
        raise ValueError("track must be an object or null")


def check_tally(value: dict[str, Any]) -> None:
    """Raises like `check_log`."""
    _check_origin(value)
    begin, end = parse_utc(value["begin"]), parse_utc(value["end"])
    parse_utc(value["time"])
    if end < begin:
        raise ValueError("it ends before it begins")
    for name in ("frames", "detections", "tracks"):
        _count(name, value[name])
    _check_counts("warming", value["warming"])
    if sum(value["warming"].values()) > value["frames"]:
        raise ValueError("more frames warming than frames")
    if len(value["suspects"]) > MOST_COUNTS or not all(_LABEL.fullmatch(kind) for kind in value["suspects"]):
        raise ValueError("suspects must go by kind")
    for kind, counts in value["suspects"].items():
        _check_counts(kind, counts)
    inputs = value["inputs"]
    if len(inputs) > MOST_INPUTS or not all(_LABEL.fullmatch(name) for name in inputs):
        raise ValueError(f"inputs must be at most {MOST_INPUTS} named histograms")
    for name, histogram in inputs.items():
        _check_histogram(name, histogram["edges"], histogram["counts"])


def whole(value: object) -> int:
    """A whole number that every JSON reader takes exactly, below 2^53 either way. Raises ValueError for anything else, true and false included."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 53:
        raise ValueError(f"{str(value)[:40]} is not a whole number")
    return value


def _check_origin(value: dict[str, Any]) -> None:
    for name in ("device", "camera", "bundle"):
        _check_text(name, value[name], 200)
        if not value[name]:
            raise ValueError(f"{name} must not be empty")


def _check_settings(value: dict[str, Any]) -> None:
    """What may be left out."""
    for name in ("source", "source_digest", "precision"):
        if value.get(name) is not None:
            _check_text(name, value[name], 200)
    interval = value.get("interval")
    if interval is not None and not (_number(interval) and 0 < interval < 1e6):
        raise ValueError("interval must be a positive number of seconds or null")
    for name in ("input", "thresholds"):
        if not isinstance(value.get(name), dict | None) or len(json.dumps(value.get(name))) > 10_000:
            raise ValueError(f"{name} must be a small object or null")
    if not all(_number(t) for t in (value.get("thresholds") or {}).values()):
        raise ValueError("thresholds must be numbers")


def _check_text(what: str, value: object, most: int) -> None:
    """Printable, since it ends up on terminals."""
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ValueError(f"{what} must be a printable text of at most {most} characters")


def _check_frames(frames: dict[str, Any], verdict: dict[str, Any]) -> None:
    count, height, width = (whole(n) for n in frames["shape"])
    if not (1 <= count <= MOST_FRAMES and 1 <= height <= MOST_SIDE and 1 <= width <= MOST_SIDE):
        raise ValueError(f"absurd shape {count} x {height} x {width}")
    if frames["dtype"] not in DEPTHS or count * height * width * DEPTHS[frames["dtype"]].itemsize > MOST_BYTES:
        raise ValueError(f"absurd frames: {str(frames['dtype'])[:20]} {count} x {height} x {width}")
    if frames.get("delta") not in (None, *AXES) or isinstance(frames.get("delta"), bool):
        raise ValueError("delta must be 0, 2 or null")
    if not re.fullmatch("[0-9a-f]{64}", frames["sha256"]):
        raise ValueError("sha256 of the frames")
    indices, times = [whole(i) for i in frames["indices"]], frames["times"]
    if len(indices) != count or indices != sorted(set(indices)) or len(times) != count or not all(map(_number, times)):
        raise ValueError("one rising index and one time for each frame")
    if whole(verdict["frame"]) not in indices:
        raise ValueError("the verdict's frame is not among the frames")
    (top, left), (rows, columns) = map(whole, frames["origin"]), map(whole, frames["sensor"])
    if top < 0 or left < 0 or top + height > rows or left + width > columns:
        raise ValueError("the crop lies outside the sensor")
    if rows > MOST_SIDE or columns > MOST_SIDE:
        raise ValueError(f"absurd sensor {rows} x {columns}")
    if not (left <= verdict["x"] <= left + width and top <= verdict["y"] <= top + height):
        raise ValueError("the verdict's place lies outside the crop")


def _check_probability(kind: str, probability: object) -> None:
    if (kind == SAMPLE) != (probability is not None):
        raise ValueError("sample_probability goes with a sample, and with nothing else")
    if probability is not None and not (_number(probability) and 0 < probability <= 1):  # type: ignore[operator]
        raise ValueError("sample_probability must be above 0, at most 1")


def _check_whole(described: dict[str, Any] | None, frames: dict[str, Any]) -> None:
    if described is None:
        return
    rows, columns = frames["sensor"]
    if [whole(n) for n in described["shape"]] != [rows, columns] or described["dtype"] != frames["dtype"]:
        raise ValueError("the whole frame is not of the sensor's shape and depth")
    if described["delta"] not in AXES or isinstance(described["delta"], bool):
        raise ValueError("delta of the whole frame must be 0 or 2")
    if rows * columns * DEPTHS[frames["dtype"]].itemsize > MOST_BYTES:
        raise ValueError("absurd whole frame")
    if not re.fullmatch("[0-9a-f]{64}", described["sha256"]):
        raise ValueError("sha256 of the whole frame")


def _check_state(state: dict[str, Any]) -> None:
    if len(state) > MOST_STATE:
        raise ValueError(f"camera_state has more than {MOST_STATE} entries")
    for name, value in state.items():
        _check_text("a name in camera_state", name, 200)
        if isinstance(value, str):
            _check_text("a text in camera_state", value, 200)
        elif not (value is None or isinstance(value, bool) or _number(value)):
            raise ValueError(f"camera_state {name[:40]!r} must be a number, a text, true, false or null")


def _check_counts(what: str, counts: dict[str, Any]) -> None:
    if len(counts) > MOST_COUNTS or not all(_LABEL.fullmatch(name) for name in counts):
        raise ValueError(f"{what[:40]} must hold at most {MOST_COUNTS} named counts")
    for name, count in counts.items():
        _count(name, count)


def _check_histogram(name: str, edges: list[Any], counts: list[Any]) -> None:
    if not 2 <= len(edges) <= MOST_BINS + 1 or len(counts) != len(edges) - 1:
        raise ValueError(f"histogram {name}: 1 to {MOST_BINS} counts, and one edge more")
    if not all(map(_number, edges)) or any(b <= a for a, b in itertools.pairwise(edges)):
        raise ValueError(f"histogram {name}: its edges must rise")
    for count in counts:
        _count(name, count)


def _count(name: str, value: object) -> None:
    if whole(value) < 0:
        raise ValueError(f"{name} must not be negative")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18 and math.isfinite(value)
