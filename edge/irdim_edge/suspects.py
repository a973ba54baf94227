"""Suspects: what the tracker judged missed or wrongly reported, cut out of the ring of recent frames into a field log."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

import numpy as np

from irdim.boxes import Detection
from irdim.detector import Step
from irdim.fieldlog import Suspect
from irdim.tracks import Track, Verdict

HOUR = 3600.0


class Cutter:
    """Keeps the newest frames with their detections, and cuts suspects out of them."""

    def __init__(self, *, before: int, after: int, lag: int, crop: int | None) -> None:
        """before, after: frames kept around the suspect's; lag: how many frames later verdicts come; crop: side in px, None for whole frames."""
        self.before, self.after, self.crop = before, after, crop
        self._ring: deque[Step] = deque(maxlen=before + max(lag, after) + 1)

    def push(self, step: Step) -> None:
        """Take a frame that the detector has seen, judged or not."""
        self._ring.append(step)

    def clear(self) -> None:
        """The stream broke: what came before belongs to no later suspect."""
        self._ring.clear()

    def cut(self, verdict: Verdict, track: Track | None, context: Mapping[str, Any]) -> Suspect | None:
        """The suspect of a verdict, or None where its frame is no longer in the ring."""
        steps = [s for s in self._ring if -self.before <= s.frame.index - verdict.frame <= self.after]
        if not any(s.frame.index == verdict.frame for s in steps):
            return None
        height, width = steps[0].frame.pixels.shape
        x, y = min(max(verdict.x, 0.0), float(width)), min(max(verdict.y, 0.0), float(height))
        (top, rows), (left, columns) = _window(y, height, self.crop), _window(x, width, self.crop)
        found = [(s.frame.index, d) for s in steps for d in s.detections]
        points = (
            []
            if track is None
            else [[p.frame, p.x, p.y, p.score] for p in track.points if p.frame >= steps[0].frame.index]
        )
        return Suspect(
            verdict={**verdict_json(verdict), "x": x, "y": y},
            frames=np.stack([s.frame.pixels[top : top + rows, left : left + columns] for s in steps]),
            indices=[s.frame.index for s in steps],
            times=[float(s.frame.time) for s in steps],
            origin=(top, left),
            sensor=(height, width),
            detections=[{"frame": i, **asdict(d)} for i, d in found if _inside(d, top, rows, left, columns)],
            track=None if track is None else {"id": track.id, "status": track.status, "points": points},
            context=context,
            at=datetime.now(timezone.utc),
        )


class Budget:
    """How many suspects of a kind may be kept in any hour."""

    def __init__(self, per_hour: Mapping[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        self._per_hour, self._clock = per_hour, clock
        self._taken: dict[str, deque[float]] = {kind: deque() for kind in per_hour}

    def take(self, kind: str) -> bool:
        """Whether one more of this kind may be kept now; if so, it is counted."""
        taken, now = self._taken[kind], self._clock()
        while taken and taken[0] <= now - HOUR:
            taken.popleft()
        if len(taken) >= self._per_hour[kind]:
            return False
        taken.append(now)
        return True


def verdict_json(v: Verdict) -> dict[str, Any]:
    """A verdict as field logs and verdict lines hold it."""
    place = {"x": v.x, "y": v.y, "w": v.w, "h": v.h}
    return {"kind": v.kind, "frame": v.frame, **place, "score": v.score, "track": v.track_id, "reason": v.reason}


def _window(centre: float, length: int, crop: int | None) -> tuple[int, int]:
    """First pixel and number of pixels of a crop around `centre`, moved into the frame."""
    size = min(crop or length, length)
    return min(max(round(centre - size / 2), 0), length - size), size


def _inside(d: Detection, top: int, rows: int, left: int, columns: int) -> bool:
    return top <= d.y <= top + rows and left <= d.x <= left + columns
