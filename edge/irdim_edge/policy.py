"""Which events become field logs: not the same one twice, and no more than the day's budget, so that a cloudy day does not fill the disk."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from irdim.fieldlog import LOW_CONFIDENCE, SAMPLE
from irdim.tracks import Verdict

MERGED, OVER_BUDGET = "merged", "over_budget"
DAY = 86400.0
BURST = 0.25  # share of the day's budget that may be spent at once; the rest comes back evenly


@dataclass(frozen=True)
class Allowance:
    """What a kind may take in any 24 hours."""

    events: int
    bytes: float


class Budget:
    """A bucket for each kind. It holds a quarter of the day's allowance and fills with the rest in a day, so no 24 hours get more than the
    allowance (in bytes: and one log), and the first hour cannot spend it all. Thread-safe."""

    def __init__(self, allowances: Mapping[str, Allowance], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._buckets = {kind: _Bucket(allowance, clock()) for kind, allowance in allowances.items()}

    def restore(self, taken: Iterable[tuple[float, str, int]]) -> None:
        """Charge what an earlier run took. taken: (seconds ago, kind, bytes), oldest first."""
        now = self._clock()
        for bucket in self._buckets.values():
            bucket.at = now - DAY
        for ago, kind, size in taken:
            if kind in self._buckets and 0 <= ago <= DAY:
                self._buckets[kind].take(now - ago, 1, size)

    def take(self, kind: str) -> bool:
        """Whether one more of this kind may be logged now; if so, it is counted. Its bytes are charged once they are known."""
        with self._lock:
            bucket = self._buckets[kind]
            bucket.fill(self._clock())
            if bucket.events < 1 or bucket.bytes <= 0:
                return False
            bucket.events -= 1
            return True

    def charge(self, kind: str, size: int) -> None:
        """size: bytes of a log that `take` has counted. They may overdraw the kind's bucket, which then gives nothing until it has filled again."""
        with self._lock:
            self._buckets[kind].take(self._clock(), 0, size)


class _Bucket:
    def __init__(self, allowance: Allowance, now: float) -> None:
        self.allowance, self.at = allowance, now
        self.most_events = max(1.0, BURST * allowance.events) if allowance.events else 0.0
        self.most_bytes = BURST * allowance.bytes
        self.events, self.bytes = self.most_events, self.most_bytes

    def fill(self, now: float) -> None:
        share, self.at = (1 - BURST) * max(now - self.at, 0.0) / DAY, max(now, self.at)
        self.events = min(self.events + share * self.allowance.events, self.most_events)
        self.bytes = min(self.bytes + share * self.allowance.bytes, self.most_bytes)

    def take(self, now: float, events: int, size: int) -> None:
        self.fill(now)
        self.events -= events
        self.bytes -= size


class Merger:
    """Knows what was logged lately, so that the same place or track is logged once in a while only."""

    def __init__(self, *, seconds: float, radius: float) -> None:
        """seconds: since it was last logged, by the frames' times; radius: px on the sensor that count as one place. 0 seconds: never merge."""
        self._seconds, self._radius = seconds, radius
        self._logged: list[tuple[float, Verdict]] = []

    def repeats(self, verdict: Verdict, at: float) -> bool:
        """Whether a suspect of this kind was logged at this place or on this track; for low confidence, one of any kind. A sample never repeats."""
        # either way: a still is noted on its own frame, and what comes with the tracker's lag is about an earlier one
        self._logged = [(t, other) for t, other in self._logged if abs(at - t) < self._seconds]
        return any(self._same(verdict, other) for _, other in self._logged)

    def note(self, verdict: Verdict, at: float) -> None:
        if self._seconds and verdict.kind != SAMPLE:
            self._logged.append((at, verdict))

    def clear(self) -> None:
        """Another recording begins: its times and tracks are others."""
        self._logged.clear()

    def _same(self, one: Verdict, other: Verdict) -> bool:
        if one.kind not in (other.kind, LOW_CONFIDENCE):
            return False
        near = (one.x - other.x) ** 2 + (one.y - other.y) ** 2 <= self._radius**2
        return near or one.track_id == other.track_id
