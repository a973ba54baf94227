"""What a tracker is told, links and answers."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from irdim.errors import InputError

MISSED, FALSE_ALARM, STILL = "missed", "false_alarm", "still"
VERDICTS = (MISSED, FALSE_ALARM, STILL)
VELOCITY_POINTS = 5  # newest points of a track from which its velocity is fitted


@dataclass(frozen=True)
class TrackerOptions:
    """report: score from which a detection counts as reported; the detector's report threshold.

    confirm_hits, confirm_window: a track is confirmed by so many detections in so many judged frames, one of them reported. More hits: fewer
    tracks of noise, later confirmation.
    max_gap: judged frames in a row without a detection that a track survives. Longer: bridges fades, links more noise.
    max_speed: px/frame, camera motion taken out; nothing faster is linked. Bounds the search around a track's first detection.
    max_turn: px/frame by which the velocity may change in one frame. Smaller: crossing targets are kept apart, manoeuvres are lost.
    noise: px; scatter of a detection's centre that is always allowed for.
    lag: frames before and after that a verdict looks at.
    near: px; a report this near, before or after, keeps a single one from being a false alarm; on the frame itself, a target from being missed.
    still_frames, still_speed: a track of at least so many frames that moves less than this, px/frame, is `still`.
    keep: newest points a track holds; 0 for all.
    """

    report: float = 0.5
    confirm_hits: int = 3
    confirm_window: int = 5
    max_gap: int = 3
    max_speed: float = 6.0
    max_turn: float = 2.0
    noise: float = 1.5
    lag: int = 5
    near: float = 6.0
    still_frames: int = 20
    still_speed: float = 0.05
    keep: int = 256

    def __post_init__(self) -> None:
        if not 1 <= self.confirm_hits <= self.confirm_window:
            raise InputError(f"confirm {self.confirm_hits} of {self.confirm_window}: 1 <= hits <= window must hold")
        for name, least in (("max_gap", 0), ("lag", 1), ("still_frames", 3), ("keep", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} {getattr(self, name)}: must be {least} or more")
        for name in ("max_speed", "max_turn", "noise", "near", "still_speed"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} {getattr(self, name)}: must be a number of pixels, 0 or more")
        if 0 < self.keep < 2 * self.lag + max(self.still_frames, self.confirm_window) + 1:
            raise InputError(f"keep {self.keep}: must reach over twice the lag and still_frames, or be 0 for all")


@dataclass(frozen=True, slots=True)
class Point:
    """A linked detection. x, y as detected (px of the frame); sx, sy the same with the camera's motion taken out."""

    frame: int
    time: float
    x: float
    y: float
    w: float
    h: float
    score: float
    reported: bool
    sx: float
    sy: float


@dataclass(frozen=True)
class Verdict:
    """A judgement on one frame: centre (x, y) and size (w, h) in px of that frame, score 0..1, and a reason that a person can read."""

    kind: str
    frame: int
    x: float
    y: float
    w: float
    h: float
    score: float
    track_id: int
    reason: str


@dataclass(eq=False)
class Track:
    """status: 'tentative', 'confirmed' or 'still' (confirmed, and moves with sensor or background); `ended` when it links no more."""

    id: int
    points: deque[Point]
    status: str = "tentative"
    ended: bool = False
    still_judged: bool = field(default=False, repr=False)

    @property
    def confirmed(self) -> bool:
        return self.status != "tentative"

    def at(self, frame: int) -> Point | None:
        """Its detection on a frame, if there was one."""
        near = next((p for p in reversed(self.points) if p.frame <= frame), None)
        return near if near and near.frame == frame else None

    def velocity(self) -> tuple[float, float]:
        """px/frame, camera motion taken out: least squares over the newest points; (0, 0) of a single one."""
        if len(self.points) < 2:
            return 0.0, 0.0
        recent = [self.points[-1 - i] for i in range(min(VELOCITY_POINTS, len(self.points)))]
        mean = sum(p.frame for p in recent) / len(recent)
        scale = sum((p.frame - mean) ** 2 for p in recent)
        return sum((p.frame - mean) * p.sx for p in recent) / scale, sum(
            (p.frame - mean) * p.sy for p in recent
        ) / scale


@dataclass(frozen=True, eq=False)
class Observed:
    """A frame whose verdicts are not final yet, or that they look back on. reports: (n, 2) x, y of what was reported there, camera motion taken
    out; offset: that motion (x, y) up to it."""

    frame: int
    reports: np.ndarray
    offset: tuple[float, float]

    def has_report(self, sx: float, sy: float, near: float) -> bool:
        """Whether something was reported within `near` px of a place (camera motion taken out)."""
        away = self.reports - (sx, sy)
        return bool((away[:, 0] ** 2 + away[:, 1] ** 2 <= near**2).any())
