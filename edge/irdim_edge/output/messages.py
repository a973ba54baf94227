"""What is said of a frame, in files and over the network: docs/formats.md, Detection line."""

from datetime import datetime, timezone
from typing import Any

from irdim.boxes import Detection
from irdim.detector import Step
from irdim.tracks import STILL, Track
from irdim_edge.cameras import Shot
from irdim_edge.output.bearings import Optics


class Messages:
    """Makes them. optics: None where no bearings are to be given."""

    def __init__(self, optics: Optics | None) -> None:
        self._optics = optics

    def line(
        self, source: str, shot: Shot, step: Step, links: list[Track | None], tracks: list[Track], report: float
    ) -> dict[str, Any]:
        """links: the tracks of the step's detections; tracks: all that are live; report: score from which a detection is reported."""
        shape = shot.frame.pixels.shape
        found = [(d, t) for d, t in zip(step.detections, links, strict=True) if d.score >= report]
        at = datetime.fromtimestamp(shot.utc, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            **{"v": 1, "source": source, "frame": step.frame.index, "time": step.frame.time, "utc": at},
            **{"status": step.status, **({"reason": step.reason} if step.reason else {})},
            "detections": [self._detection(d, t, shape) for d, t in found],
            "tracks": [self._track(t, shape) for t in tracks if t.confirmed and not t.ended],
        }

    def _detection(self, d: Detection, track: Track | None, shape: tuple[int, int]) -> dict[str, Any]:
        return {
            **{"x": round(d.x, 3), "y": round(d.y, 3), "w": round(d.w, 3), "h": round(d.h, 3)},
            **{"score": round(d.score, 5), "label": d.label},
            "track": track.id if track and track.confirmed else None,
            **self._bearing(d.x, d.y, shape),
        }

    def _track(self, track: Track, shape: tuple[int, int]) -> dict[str, Any]:
        """Where it was last seen, on which frame, and how fast it moves (px/frame, the camera's motion taken out)."""
        newest, (vx, vy) = track.points[-1], track.velocity()
        return {
            **{"track": track.id, "x": round(newest.x, 3), "y": round(newest.y, 3)},
            **{"vx": round(vx, 3), "vy": round(vy, 3), "seen": newest.frame, "still": track.status == STILL},
            **self._bearing(newest.x, newest.y, shape),
        }

    def _bearing(self, x: float, y: float, shape: tuple[int, int]) -> dict[str, float]:
        if self._optics is None:
            return {}
        azimuth, elevation = self._optics.bearing(x, y, shape)
        return {"azimuth": round(azimuth, 4), "elevation": round(elevation, 4)}
