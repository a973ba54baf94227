"""Field logs and tallies as files: written whole or not at all, read with every check. Format: docs/formats.md."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from irdim.errors import InputError
from irdim.fieldlog import checks, pixels
from irdim.fieldlog.container import Opened, kind_in, open_log, pack, parse, parse_utc, utc
from irdim.fieldlog.records import TALLY, FieldLog, Suspect, Tally, TallyLog
from irdim.files import atomic_file
from irdim.signing import Signer

DESCRIPTION, FRAMES, WHOLE, TALLIED = "log.json", "frames.npy", "whole.npy", "tally.json"


def pack_log(suspect: Suspect, signer: Signer | None = None) -> tuple[str, bytes]:
    """The file name <time>-<kind>-<sha256[:16]>.irlog and the bytes of a suspect's field log. Equal suspects give equal bytes.

    Raises InputError where a reader would refuse it.
    """
    what = f"suspect {suspect.verdict['kind']} on frame {suspect.verdict['frame']}"
    if suspect.frames.dtype.name not in checks.DEPTHS:
        raise InputError(f"{what}: frames are {suspect.frames.dtype}; uint8 and uint16 can be logged")
    data, coded = _encode(suspect.frames)
    members, whole = {FRAMES: data}, None
    if suspect.whole_frame is not None:
        members[WHOLE], whole = _encode(suspect.whole_frame[None])
        whole["shape"] = list(suspect.whole_frame.shape)
    description = {
        **{"format": checks.LOG_FORMAT, "version": checks.VERSION, "time": utc(suspect.at)},
        **suspect.context,
        "verdict": dict(suspect.verdict),
        "frames": {
            **{"indices": suspect.indices, "times": suspect.times, **coded},
            **{"origin": list(suspect.origin), "sensor": list(suspect.sensor)},
        },
        **{"whole_frame": whole, "sample_probability": suspect.sample_probability},
        **{"camera_state": dict(suspect.camera_state), "detections": suspect.detections, "track": suspect.track},
    }
    _checked(what, checks.check_log, description)
    return pack(description, DESCRIPTION, members, suspect.verdict["kind"], signer)


def pack_tally(tally: Tally, signer: Signer | None = None) -> tuple[str, bytes]:
    """The file name <end>-tally-<sha256[:16]>.irlog and the bytes of a tally. Raises InputError where a reader would refuse it."""
    begin, end = utc(tally.begin), utc(tally.end)
    description = {
        **{"format": checks.TALLY_FORMAT, "version": checks.VERSION, "time": end, "begin": begin, "end": end},
        **{name: getattr(tally, name) for name in ("device", "camera", "bundle", "frames", "detections", "tracks")},
        "warming": dict(tally.warming),
        "suspects": {kind: dict(counts) for kind, counts in tally.suspects.items()},
        "inputs": {name: {k: list(v) for k, v in histogram.items()} for name, histogram in tally.inputs.items()},
    }
    _checked(f"tally of {tally.device}", checks.check_tally, description)
    return pack(description, TALLIED, {}, TALLY, signer)


def write_log(folder: Path, suspect: Suspect, signer: Signer | None = None) -> Path:
    """Write a suspect's field log into `folder`, whole or not at all; returns its path."""
    return _write(folder, *pack_log(suspect, signer))


def write_tally(folder: Path, tally: Tally, signer: Signer | None = None) -> Path:
    """Write a tally into `folder`, whole or not at all; returns its path."""
    return _write(folder, *pack_tally(tally, signer))


def read_any(path: Path) -> FieldLog | TallyLog:
    """Read and check what a device wrote, by the kind in its name. Raises InputError, saying what is wrong with it."""
    return read_tally(path) if kind_in(Path(path).name) == TALLY else read_log(path)


def read_log(path: Path) -> FieldLog:
    """Read and check a field log. Raises InputError, saying what is wrong with it."""
    with open_log(path, DESCRIPTION, (FRAMES, WHOLE)) as opened:
        d = _described(opened, checks.LOG_FORMAT, checks.check_log)
        frames, whole = _decode(opened, FRAMES, d["frames"]), None
        if described := d.get("whole_frame"):
            whole = _decode(opened, WHOLE, {**described, "shape": [1, *described["shape"]]})[0]
        return FieldLog(opened.path, opened.digest, opened.manifest, opened.device_key, d, frames, whole)


def read_tally(path: Path) -> TallyLog:
    """Read and check a tally. Raises InputError, saying what is wrong with it."""
    with open_log(path, TALLIED, ()) as opened:
        d = _described(opened, checks.TALLY_FORMAT, checks.check_tally)
        names = ("device", "camera", "bundle", "frames", "warming", "detections", "tracks", "suspects", "inputs")
        values: dict[str, Any] = {name: d[name] for name in names}
        tally = Tally(begin=parse_utc(d["begin"]), end=parse_utc(d["end"]), **values)
        return TallyLog(opened.path, opened.digest, opened.manifest, opened.device_key, tally)


def read_description(path: Path) -> dict[str, Any]:
    """log.json, or tally.json, of a file whose digest and signature are right, without inflating frames. Raises InputError."""
    if kind_in(Path(path).name) == TALLY:
        with open_log(path, TALLIED, ()) as opened:
            return _described(opened, checks.TALLY_FORMAT, checks.check_tally)
    with open_log(path, DESCRIPTION, (FRAMES, WHOLE)) as opened:
        return _described(opened, checks.LOG_FORMAT, checks.check_log)


def _write(folder: Path, name: str, data: bytes) -> Path:
    with atomic_file(Path(folder) / name) as file:
        file.write(data)
    return Path(folder) / name


def _encode(frames: np.ndarray) -> tuple[bytes, dict[str, Any]]:
    frames = np.ascontiguousarray(frames, checks.DEPTHS[frames.dtype.name])
    data, axis = pixels.encode(frames)
    coded = {"shape": list(frames.shape), "dtype": frames.dtype.name, "delta": axis}
    return data, {**coded, "sha256": hashlib.sha256(frames.data).hexdigest()}


def _decode(opened: Opened, name: str, stated: dict[str, Any]) -> np.ndarray:
    """The frames, if they are of the depth, shape and digest that the description states."""
    count, height, width = stated["shape"]
    dtype = checks.DEPTHS[stated["dtype"]]
    data = opened.read(name, count * height * width * dtype.itemsize + pixels.HEADER)
    try:
        frames = pixels.decode(data, dtype, (count, height, width), stated.get("delta"))
    except Exception as error:  # NumPy's header parser raises what ast, tokenize and struct raise
        raise InputError(f"{opened.path}: its {name} is not a readable array ({_words(error)})") from None
    if hashlib.sha256(frames.data).hexdigest() != stated["sha256"]:
        raise InputError(f"{opened.path}: the digest of its {name} is wrong; fetch it again")
    return frames


def _described(opened: Opened, wanted: str, check: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The description, checked; what it says of its key must be what signed it."""
    value = parse(opened.path, opened.text)
    _checked(str(opened.path), lambda d: checks.check_format(d, wanted), value)
    _checked(str(opened.path), check, value)
    if (WHOLE in opened.members) != (value.get("whole_frame") is not None):
        raise InputError(f"{opened.path}: holds another {WHOLE} than its description says")
    if value.get("device_key") != opened.device_key:
        raise InputError(f"{opened.path}: its signature is missing, or not by the key that it names")
    named = kind_in(opened.path.name)
    if named != (TALLY if wanted == checks.TALLY_FORMAT else value["verdict"]["kind"]):
        raise InputError(f"{opened.path}: the kind in its name is not its own")
    return value


def _checked(what: str, check: Callable[[dict[str, Any]], None], value: dict[str, Any]) -> None:
    try:
        check(value)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise InputError(f"{what}: its description is incomplete or wrong ({_words(error)})") from None


def _words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{str(error.args[0])[:60]!r} is missing"
    return " ".join(str(error).split())[:200] or type(error).__name__
