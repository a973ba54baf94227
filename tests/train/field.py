"""Field logs for the tests of ingest, review and report."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from irdim.fieldlog import Suspect, Tally, write_log, write_tally
from irdim.input_statistics import EDGES, bin_of
from irdim.signing import Signer, generate_key

BUNDLE = "ab" * 32


def make_signer(folder: Path, name: str = "device.key") -> Signer:
    """A device with a new key."""
    generate_key(folder / name)
    return Signer.load(folder / name)


def field_log(
    folder: Path,
    seed: int,
    *,
    kind: str = "missed",
    score: float = 0.5,
    minute: int = 0,
    x: float = 70.0,
    signer: Signer | None = None,
    at: datetime | None = None,
    context: dict | None = None,
    **change,
) -> Path:
    """A log of 12 crops 96 x 96 out of a 128 x 160 sensor with a bright target on frame 13, which is the 10th of them."""
    verdict = {"kind": kind, "frame": 13, "x": x, "y": 60.0, "w": 4.0, "h": 4.0, "score": score, "track": 3}
    fields = {
        "verdict": {**verdict, "reason": "reported 1 before and 2 after, nothing here"},
        "frames": pixels(seed, (96, 96), x - 20),
        "indices": list(range(4, 16)),
        "times": [i / 25 for i in range(4, 16)],
        "origin": (10, 20),
        "sensor": (128, 160),
        "detections": [],
        "track": None,
        "context": {
            **{"device": "mast-3", "camera": "west", "source": "night", "bundle": BUNDLE, "interval": 0.04},
            **{"thresholds": {"report": 0.5, "low": 0.1}, **(context or {})},
        },
        "at": at or datetime(2026, 3, 4, 5, minute, seed % 60, tzinfo=timezone.utc),
    }
    return write_log(folder, Suspect(**{**fields, **change}), signer)


def sampled_frame(
    folder: Path, seed: int, reported: list[tuple[float, float, float]], probability: float = 0.01, **change
) -> Path:
    """A whole frame 48 x 48 taken at random. reported: x, y, score of detections on it."""
    found = [{"frame": 13, "x": x, "y": y, "w": 3.0, "h": 3.0, "score": s, "label": "target"} for x, y, s in reported]
    place = {"kind": "sample", "frame": 13, "x": 24.0, "y": 24.0, "w": 48.0, "h": 48.0, "score": 0.0, "track": 0}
    return field_log(
        folder,
        seed,
        verdict={**place, "reason": "taken at random"},
        frames=pixels(seed, (48, 48), 24),
        origin=(0, 0),
        sensor=(48, 48),
        detections=found,
        sample_probability=probability,
        minute=seed // 60,
        **change,
    )


def pixels(seed: int, shape: tuple[int, int], x: float, sigma: float = 10) -> np.ndarray:
    """12 frames of noise with a bright spot that passes `x` on the 10th."""
    frames = np.random.default_rng(seed).normal(1000, sigma, (12, *shape))
    yy, xx = np.mgrid[: shape[0], : shape[1]] + 0.5
    for t in range(12):
        frames[t] += 150 * np.exp(-((xx - x - (t - 9)) ** 2 + (yy - 50) ** 2) / 3)
    return np.rint(frames).astype(np.uint16)


def tally_file(
    folder: Path, *, hour: int = 0, sigma: float = 14.0, level: float = 1000.0, signer: Signer | None = None, **change
) -> Path:
    """An hour's tally whose frames all have a difference noise of about `sigma` counts, 10 % up and down."""
    begin = datetime(2026, 3, 4, tzinfo=timezone.utc) + timedelta(hours=hour)
    values = {"sigma_difference": sigma, "sigma_frame": sigma / 2**0.5, "level": level}
    inputs = {}
    for name, value in values.items():
        counts = [0] * (len(EDGES[name]) - 1)
        for k in range(60):
            counts[bin_of(name, value * (0.97 + 0.001 * k))] += 1
        inputs[name] = {"edges": EDGES[name].tolist(), "counts": counts}
    fields = {
        **{"device": "mast-3", "camera": "west", "bundle": BUNDLE, "begin": begin, "end": begin + timedelta(hours=1)},
        **{"frames": 90_000, "warming": {"gap": 30}, "detections": 40, "tracks": 3, "inputs": inputs},
        "suspects": {"missed": {"logged": 5, "merged": 2, "over_budget": 1, "evicted": 1}},
    }
    return write_tally(folder, Tally(**{**fields, **change}), signer)


def rezipped(path: Path, change: Callable[[dict[str, bytes]], object] = lambda members: None) -> Path:
    """The log's members, changed or not, in another zip, under the name that it asks for."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    out = path.parent / f"{path.name[:-22]}{hashlib.sha256(packed.getvalue()).hexdigest()[:16]}.irlog"
    out.write_bytes(packed.getvalue())
    return out


def described(change: Callable[[dict], object]) -> Callable[[dict[str, bytes]], None]:
    """For `rezipped`: change log.json."""

    def of_members(members: dict[str, bytes]) -> None:
        description = json.loads(members["log.json"])
        change(description)
        members["log.json"] = json.dumps(description).encode()

    return of_members
