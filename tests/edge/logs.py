"""Field logs for the tests of spool, upload and daemon."""

from datetime import datetime, timezone

import numpy as np

from irdim.fieldlog import Suspect


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
