"""Field logs for the tests of ingest and review."""

from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from irdim.fieldlog import Suspect, write_log


def field_log(
    folder: Path, seed: int, *, kind: str = "missed", score: float = 0.5, minute: int = 0, x: float = 70.0
) -> Path:
    """A log of 12 crops 96 x 96 out of a 128 x 160 sensor with a bright target on frame 13, which is the 10th of them."""
    frames = np.random.default_rng(seed).normal(1000, 10, (12, 96, 96))
    yy, xx = np.mgrid[:96, :96] + 0.5
    for t in range(12):
        frames[t] += 150 * np.exp(-((xx - (x - 20) - (t - 9)) ** 2 + (yy - 50) ** 2) / 3)
    verdict = {"kind": kind, "frame": 13, "x": x, "y": 60.0, "w": 4.0, "h": 4.0, "score": score, "track": 3}
    suspect = Suspect(
        verdict={**verdict, "reason": "reported 1 before and 2 after, nothing here"},
        frames=np.rint(frames).astype(np.uint16),
        indices=list(range(4, 16)),
        times=[i / 25 for i in range(4, 16)],
        origin=(10, 20),
        sensor=(128, 160),
        detections=[],
        track=None,
        context={"device": "mast-3", "camera": "west", "source": "night", "bundle": "ab" * 32, "interval": 0.04},
        at=datetime(2026, 3, 4, 5, minute, seed % 60, tzinfo=timezone.utc),
    )
    folder.mkdir(parents=True, exist_ok=True)
    return write_log(folder, suspect)
