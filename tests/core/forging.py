"""Suspects, tallies and forged logs for the tests of the field-log file."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from irdim.fieldlog import Suspect, Tally
from irdim.signing import Signer


def suspect(seed: int = 0, **change) -> Suspect:
    frames = np.random.default_rng(seed).integers(0, 1 << 14, (6, 40, 50)).astype(np.uint16)
    verdict = {"kind": "missed", "frame": 103, "x": 70.5, "y": 45.0, "w": 3.0, "h": 3.0, "score": 0.6, "track": 7}
    fields = {
        "verdict": {**verdict, "reason": "reported 1 before and 1 after, nothing here"},
        "frames": frames,
        "indices": list(range(100, 106)),
        "times": [i / 25 for i in range(100, 106)],
        "origin": (20, 50),
        "sensor": (128, 160),
        "detections": [{"frame": 102, "x": 69.0, "y": 45.0, "w": 3.0, "h": 3.0, "score": 0.8, "label": "target"}],
        "track": {"id": 7, "status": "confirmed", "points": [[102, 69.0, 45.0, 0.8]]},
        "context": {"device": "mast-3", "camera": "west", "source": "x", "bundle": "ab" * 32, "interval": 0.04},
        "at": datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=timezone.utc),
    }
    return Suspect(**{**fields, **change})


def sample(**change) -> Suspect:
    """A whole frame taken at random, of a small sensor."""
    place = {"x": 25.0, "y": 20.0, "w": 50.0, "h": 40.0, "score": 0.0, "track": 0}
    verdict = {"kind": "sample", "frame": 103, **place, "reason": "taken at random"}
    return suspect(verdict=verdict, origin=(0, 0), sensor=(40, 50), sample_probability=0.01, track=None, **change)


def tally(**change) -> Tally:
    fields = {
        **{"device": "mast-3", "camera": "west", "bundle": "ab" * 32, "frames": 90_000, "warming": {"history": 12}},
        "begin": datetime(2026, 3, 4, 5, tzinfo=timezone.utc),
        "end": datetime(2026, 3, 4, 6, tzinfo=timezone.utc),
        **{"detections": 40, "tracks": 3},
        "suspects": {"missed": {"logged": 5, "merged": 2, "over_budget": 0, "evicted": 1}},
        "inputs": {"sigma_frame": {"edges": [0.5, 1, 2, 4], "counts": [1, 90, 9]}},
    }
    return Tally(**{**fields, **change})


def forge(
    path: Path,
    change: Callable[[dict], object] | None = None,
    *,
    members: dict[str, bytes] | None = None,
    drop: str = "",
    method: int = zipfile.ZIP_DEFLATED,
    signer: Signer | None = None,
    name: str = "log.json",
) -> Path:
    """A log like `path` with something changed, under the name that its digest asks for. signer: signs what was changed."""
    with zipfile.ZipFile(path) as file:
        contents = {member: file.read(member) for member in file.namelist()}
    if change:
        description = json.loads(contents[name])
        change(description)
        contents[name] = json.dumps(description).encode()
    contents.update(members or {})
    contents.pop(drop, None)
    if signer:
        signature = {"key": signer.device_key, "signature": signer.sign(contents[name]).hex()}
        contents["signature.json"] = json.dumps(signature).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        for member, data in contents.items():
            file.writestr(member, data)
    return named(path, packed.getvalue())


def named(path: Path, data: bytes) -> Path:
    """Write `data` under a name like that of `path`, with the digest that `data` has."""
    out = path.parent / f"{path.name[:-22]}{hashlib.sha256(data).hexdigest()[:16]}.irlog"
    out.write_bytes(data)
    return out
