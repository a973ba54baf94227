"""Field logs for the tests of spool, upload and daemon."""

from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from irdim.fieldlog import Suspect, pack_log
from irdim_edge.spool import Bounds, Spool


def suspect(seed: int, score: float = 0.5, kind: str = "missed", side: int = 32) -> Suspect:
    """A suspect of 4 frames of noise, different for each seed."""
    frames = np.random.default_rng(seed).integers(0, 1 << 14, (4, side, side)).astype(np.uint16)
    place = {"x": 60.0, "y": 40.0, "w": 3.0, "h": 3.0}
    return Suspect(
        verdict={"kind": kind, "frame": 13, **place, "score": score, "track": 1, "reason": "reported before and after"},
        frames=frames,
        indices=[10, 11, 12, 13],
        times=[0.4, 0.44, 0.48, 0.52],
        origin=(24, 44),
        sensor=(128, 160),
        detections=[],
        track=None,
        context={"device": "mast-3", "camera": "west", "source": "clip", "bundle": "ab" * 32, "interval": 0.04},
        at=datetime(2026, 3, 4, 5, 6, 7, (seed % 1000) * 1000, tzinfo=timezone.utc),
    )


def add(spool: Spool, found: Suspect) -> Path | None:
    """Put a suspect into a spool, as the daemon's writer does."""
    return spool.accept(*pack_log(found), found.verdict["kind"], found.verdict["score"])


def filled(folder: Path, count: int = 3) -> Spool:
    """A spool of so many suspects, the later ones of a higher score; closed for adding."""
    spool = Spool(folder, Bounds(1 << 30, 1000))
    for seed in range(count):
        add(spool, suspect(seed, seed / 100))
    spool.close()
    return spool
