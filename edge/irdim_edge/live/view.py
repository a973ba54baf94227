"""What the daemon shows to whoever looks. Nothing is copied or drawn while nobody does; then the server's threads draw, never the engine's."""

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from irdim.detector import Step
from irdim.differencing import InputSpec
from irdim.sources import Frame
from irdim.tracks import STILL, Track
from irdim_edge.judging import SKIPPED
from irdim_edge.live.picture import Picture, draw
from irdim_edge.masks import Polygon

MOST_VIEWERS = 4
EVERY = 0.1  # seconds between two pictures
KEPT = 4  # newest moments whose pictures can still be asked for
TRAIL = 50  # newest points of a track
WATCHED = 2.0  # seconds after the last look for which tracks' trails are still noted


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame that is shown. number: counts up; older: what its difference is taken from, None without history; said: docs/live.md, `frame`."""

    number: int
    frame: Frame
    older: Frame | None
    spec: InputSpec
    said: dict[str, Any]


class LiveView:
    """Told every frame by the daemon (`show`); asked by the server's threads."""

    def __init__(self, masks: Sequence[Polygon]) -> None:
        """masks: polygons in px of the frame, drawn over the picture."""
        self.masks = [[list(corner) for corner in polygon] for polygon in masks]
        self._lock = threading.Lock()  # guards what `show` writes; held for microseconds
        self._frames: deque[Frame] = deque()
        self._newest: tuple[Step, InputSpec, dict[str, Any], list[dict[str, Any]]] | None = None
        self._looked = float("-inf")
        self._viewers = 0
        self._asking = threading.Lock()
        self._moments: deque[Moment] = deque(maxlen=KEPT)
        self._made = float("-inf")
        self._drawing = threading.Lock()  # one picture at a time, however many ask
        self._drawn: dict[tuple[int, str, float, float], Picture] = {}
        self._drew = float("-inf")

    def show(self, step: Step, spec: InputSpec, line: dict[str, Any], tracks: list[Track]) -> None:
        """Take what became of a frame. line: as it is written (docs/formats.md, Detection line); tracks: those that are live."""
        trails = [_trail(t) for t in tracks if t.confirmed and not t.ended] if self._watched else []
        with self._lock:
            if self._frames and not 0 < step.frame.index - self._frames[-1].index <= spec.history:
                self._frames.clear()  # another stream
            self._frames.append(step.frame)
            while len(self._frames) > spec.history:
                self._frames.popleft()
            if step.reason != SKIPPED:  # the frame that it was skipped for comes at once
                self._newest = step, spec, line, trails

    @contextlib.contextmanager
    def viewer(self) -> Iterator[bool]:
        """Whether there is room for one more; it is taken until the end of the block."""
        with self._asking:
            room = self._viewers < MOST_VIEWERS
            self._viewers += room
        try:
            yield room
        finally:
            with self._asking:
                self._viewers -= room

    def moment(self) -> Moment | None:
        """The newest moment, at most ten a second; None before the first frame."""
        with self._asking:
            now = self._looked = time.monotonic()
            if now - self._made >= EVERY:
                with self._lock:
                    newest, frames = self._newest, list(self._frames)
                if newest is not None and (not self._moments or newest[0].frame is not self._moments[-1].frame):
                    self._moments.append(self._moment(newest, frames))
                    self._made = now
            return self._moments[-1] if self._moments else None

    def picture(self, number: int | None, view: str, low: float, high: float) -> Picture | None:
        """Of a moment, of the newest where that is gone; None before the first frame. view: one of picture.VIEWS; low, high: percentiles of
        its pixels that become black and white."""
        with self._drawing:
            newest = self.moment()
            moment = next((m for m in list(self._moments) if m.number == number), newest)
            if moment is None:
                return None
            key = (moment.number, view, low, high)
            if key not in self._drawn:
                time.sleep(max(0.0, self._drew + EVERY / MOST_VIEWERS - time.monotonic()))
                self._drawn = {k: p for k, p in self._drawn.items() if k[0] >= moment.number}
                if len(self._drawn) >= KEPT * MOST_VIEWERS:
                    self._drawn.clear()
                self._drawn[key] = draw(moment.frame, moment.older, moment.spec, view, low, high, moment.number)
                self._drew = time.monotonic()
            return self._drawn[key]

    @property
    def _watched(self) -> bool:
        return time.monotonic() - self._looked < WATCHED

    def _moment(
        self, newest: tuple[Step, InputSpec, dict[str, Any], list[dict[str, Any]]], frames: list[Frame]
    ) -> Moment:
        step, spec, line, trails = newest
        number = self._moments[-1].number + 1 if self._moments else 1
        older = frames[0] if len(frames) > 1 and frames[0].pixels.shape == step.frame.pixels.shape else None
        height, width = step.frame.pixels.shape
        depth = 8 * step.frame.pixels.dtype.itemsize
        said = {**line, "number": number, "width": width, "height": height, "bits": depth, "trails": trails}
        return Moment(number, step.frame, older, spec, said)


def _trail(track: Track) -> dict[str, Any]:
    newest_first = itertools.islice(reversed(track.points), TRAIL)
    points = [[round(p.x, 2), round(p.y, 2)] for p in newest_first]
    return {"track": track.id, "still": track.status == STILL, "points": points}
