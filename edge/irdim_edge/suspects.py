"""Suspects: what the tracker judged missed or wrongly reported, cut out of the ring of recent frames into a field log."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from itertools import takewhile
from typing import Any

import numpy as np

from irdim.boxes import Detection
from irdim.detector import Step
from irdim.fieldlog import Suspect
from irdim.sources import Frame
from irdim.tracks import Track, Verdict
from irdim_edge.handover import MOST_WAITING


class Cutter:
    """Keeps the newest frames with their detections, and cuts suspects out of them."""

    def __init__(self, *, before: int, after: int, lag: int, crop: int, whole_frame: bool = False) -> None:
        """before, after: frames kept around the suspect's; lag: how many frames later verdicts come; crop: side in px; whole_frame: keep the suspect's
        frame whole besides."""
        self.before, self.after, self.crop, self.whole_frame = before, after, crop, whole_frame
        self._lag = lag
        self.length = before + lag + 1  # frames that it keeps at least
        # those that were skipped since the last judged one come on top, no more at a time than may wait for the engine
        self._ring: deque[Step] = deque(maxlen=self.length + MOST_WAITING)
        self._judged: float = -math.inf  # newest frame whose verdicts have come

    def push(self, step: Step) -> None:
        """Take a frame that the detector has seen, judged or not. The verdict on a frame comes with the first judged one that is `lag` frames later or more;
        until then the frames before it are kept."""
        while self._ring and self._ring[0].frame.index <= self._judged - self.before:
            self._ring.popleft()
        self._ring.append(step)
        if step.status == "ok":
            self._judged = step.frame.index - self._lag

    def clear(self) -> None:
        """The stream broke: what came before belongs to no later suspect."""
        self._ring.clear()
        self._judged = -math.inf

    @property
    def frames(self) -> list[Frame]:
        """The newest frames, oldest first."""
        return [step.frame for step in self._ring]

    def time(self, frame: int) -> float:
        """Seconds, as recorded, of a frame; of the oldest kept where it is older."""
        found = next((s for s in reversed(self._ring) if s.frame.index <= frame), self._ring[0])
        return float(found.frame.time)

    def cut(
        self,
        verdict: Verdict,
        track: Track | None,
        context: Mapping[str, Any],
        camera_state: Mapping[str, Any],
        sample_probability: float | None = None,
    ) -> Suspect | None:
        """The suspect of a verdict, or None where its frame is no longer in the ring. sample_probability: of a sample, all of whose frames are whole."""
        crop = self.crop if sample_probability is None else None
        judged = next((s.frame.pixels for s in self._ring if s.frame.index == verdict.frame), None)
        if judged is None:
            return None
        steps = self._around(verdict.frame, judged)
        height, width = judged.shape
        x, y = min(max(verdict.x, 0.0), float(width)), min(max(verdict.y, 0.0), float(height))
        (top, rows), (left, columns) = _window(y, height, crop), _window(x, width, crop)
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
            camera_state=camera_state,
            sample_probability=sample_probability,
            whole_frame=judged if self.whole_frame and crop else None,
        )

    def _around(self, frame: int, judged: np.ndarray) -> list[Step]:
        """The steps around a frame, up to the nearest of another size or depth."""
        steps = [s for s in self._ring if -self.before <= s.frame.index - frame <= self.after]

        def alike(step: Step) -> bool:
            return step.frame.pixels.shape == judged.shape and step.frame.pixels.dtype == judged.dtype

        before = takewhile(alike, (s for s in reversed(steps) if s.frame.index < frame))
        return [*reversed([*before]), *takewhile(alike, (s for s in steps if s.frame.index >= frame))]


def verdict_json(v: Verdict) -> dict[str, Any]:
    """A verdict as field logs and verdict lines hold it."""
    place = {"x": v.x, "y": v.y, "w": v.w, "h": v.h}
    return {
        "kind": v.kind,
        "frame": v.frame,
        **place,
        "score": v.score,
        "track": v.track_id or None,
        "reason": v.reason,
    }


def _window(centre: float, length: int, crop: int | None) -> tuple[int, int]:
    """First pixel and number of pixels of a crop around `centre`, moved into the frame."""
    size = min(crop or length, length)
    return min(max(round(centre - size / 2), 0), length - size), size


def _inside(d: Detection, top: int, rows: int, left: int, columns: int) -> bool:
    return top <= d.y <= top + rows and left <= d.x <= left + columns
