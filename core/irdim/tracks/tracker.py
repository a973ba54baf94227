"""Links detections to tracks, frame by frame, and asks for the verdicts when they are due.

What is counted in frames for a track (to confirm it, to end it) counts frames that were judged: where the engine is too slow for every frame, tracks
are confirmed all the same.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
import scipy

from irdim.boxes import TARGET, Detection
from irdim.errors import InputError
from irdim.tracks.records import STILL, Observed, Point, Track, TrackerOptions, Verdict
from irdim.tracks.verdicts import false_alarm, missed, stillness, without_doubles

WIDEST = 3  # frames by which the search for a track widens from one judged frame to the next: across more it would take up noise


class Tracker:
    """Feed it every frame that the detector judged, in order; frames that it did not judge are left out."""

    def __init__(self, options: TrackerOptions | None = None, *, first_id: int = 1) -> None:
        """first_id: of the first track; a tracker that follows another goes on with its `next_id`, so that no two tracks have the same."""
        self.options = options or TrackerOptions()
        self.links: list[Track | None] = []  # of the detections of the last update, in their order
        self.confirmed = 0  # tracks confirmed so far
        self.next_id = first_id
        self._tracks: list[Track] = []
        self._frames: deque[Observed] = deque()
        o = self.options
        self._recent: deque[int] = deque(maxlen=max(o.confirm_window, o.max_gap + 1))  # newest frames that were judged
        self._judged = -1
        self._offset = (0.0, 0.0)

    @property
    def tracks(self) -> list[Track]:
        """Tracks that are live or on which verdicts are still to come."""
        return list(self._tracks)

    def update(
        self,
        frame_index: int,
        time: float,
        detections: Sequence[Detection],
        camera_shift: tuple[float, float] = (0.0, 0.0),
    ) -> list[Verdict]:
        """Take a frame's detections. camera_shift: motion (dy, dx) px of the scene in the frame since the frame before.

        Returns the verdicts that became final: those on frames up to frame_index - lag. Raises InputError where frame_index does not rise.
        """
        if self._frames and frame_index <= self._frames[-1].frame:
            raise InputError(
                f"frame {frame_index} came after frame {self._frames[-1].frame}; the tracker wants them in order"
            )
        dy, dx = camera_shift
        self._offset = (self._offset[0] + dx, self._offset[1] + dy)
        points = [self._point(frame_index, time, d) for d in detections if d.label == TARGET]
        reports = np.array([(p.sx, p.sy) for p in points if p.reported]).reshape(-1, 2)
        self._frames.append(Observed(frame_index, reports, self._offset))
        self._recent.append(frame_index)
        by_point = self._link(frame_index, points)
        linked = iter(by_point)
        self.links = [next(linked) if d.label == TARGET else None for d in detections]
        stills = [v for track in by_point if (v := self._judge_track(track))]
        verdicts = self._verdicts(frame_index - self.options.lag)
        self._forget(frame_index)
        return verdicts + stills

    def flush(self) -> list[Verdict]:
        """The stream ends or breaks here: returns the verdicts that are still due, ends all tracks, forgets the frames."""
        verdicts = self._verdicts(self._frames[-1].frame) if self._frames else []
        self._tracks, self.links, self._offset, self._judged = [], [], (0.0, 0.0), -1
        self._frames.clear()
        self._recent.clear()
        return verdicts

    def since(self, frames: int) -> int:
        """The number of the first of so many newest judged frames; -1 where there were not as many yet."""
        return self._recent[-frames] if 0 < frames <= len(self._recent) else -1

    def _point(self, frame: int, time: float, d: Detection) -> Point:
        sx, sy = d.x - self._offset[0], d.y - self._offset[1]
        return Point(frame, time, d.x, d.y, d.w, d.h, d.score, d.score >= self.options.report, sx, sy)

    # linking

    def _link(self, frame: int, points: list[Point]) -> list[Track]:
        """Give each point its track: confirmed tracks choose first, then the tentative ones; the rest begin new ones."""
        result: list[Track | None] = [None] * len(points)
        for confirmed in (True, False):
            tracks = [t for t in self._tracks if not t.ended and t.confirmed == confirmed]
            free = [i for i, track in enumerate(result) if track is None]
            for row, column in assign(self._gains(frame, tracks, [points[i] for i in free])):
                result[free[column]] = tracks[row]
        linked: list[Track] = []
        for point, track in zip(points, result, strict=True):
            if track is None:
                track = Track(self.next_id, deque(maxlen=self.options.keep or None))
                self.next_id += 1
                self._tracks.append(track)
            track.points.append(point)
            linked.append(track)
        for track in self._tracks:
            track.ended = track.ended or track.points[-1].frame < self.since(self.options.max_gap + 1)
        return linked

    def _gains(self, frame: int, tracks: list[Track], points: list[Point]) -> np.ndarray:
        """(tracks, points): what linking is worth, 0 where it is not allowed. Falls with the squared distance from where the track is
        expected, to 0 at the gate; weak detections are worth less."""
        if not tracks or not points:
            return np.zeros((len(tracks), len(points)))
        o = self.options
        last = np.array([(t.points[-1].sx, t.points[-1].sy) for t in tracks])
        velocity = np.array([t.velocity() for t in tracks])
        since = np.array([frame - t.points[-1].frame for t in tracks], float)
        single = np.array([len(t.points) < 2 for t in tracks])
        recent = np.array(self._recent)
        judged = len(recent) - np.searchsorted(recent, [t.points[-1].frame for t in tracks], side="right")
        widening = np.minimum(since, WIDEST * judged)
        at = np.array([(p.sx, p.sy) for p in points])
        gate = o.noise + np.where(single, o.max_speed, np.minimum(o.max_turn, o.max_speed)) * widening
        expected = last + velocity * since[:, None]
        missed_by = _squared(at[None, :, 0] - expected[:, None, 0], at[None, :, 1] - expected[:, None, 1])
        rows, columns = np.nonzero(missed_by < gate[:, None] ** 2)  # few of all pairs
        moved = np.sqrt(_squared(*(at[columns] - last[rows]).T))
        allowed = moved <= o.max_speed * since[rows] + o.noise
        rows, columns = rows[allowed], columns[allowed]
        gains = np.zeros(missed_by.shape)
        nearness = 1 - missed_by[rows, columns] / np.maximum(gate[rows], 1e-9) ** 2
        gains[rows, columns] = nearness * (0.2 + np.array([p.score for p in points]))[columns]
        return gains

    def _judge_track(self, track: Track) -> Verdict | None:
        """Confirm the track, see whether it stands still; the verdict on the latter comes once."""
        o = self.options
        if not track.confirmed:
            recent = [p for p in track.points if p.frame >= self.since(o.confirm_window)]
            if len(recent) < o.confirm_hits or not any(p.reported for p in recent):
                return None
            track.status = "confirmed"
            self.confirmed += 1
        why = stillness(track, o)
        track.status = STILL if why else "confirmed"
        if not why or track.still_judged:
            return None
        track.still_judged = True
        p, score = track.points[-1], float(np.mean([p.score for p in track.points]))
        return Verdict(STILL, p.frame, p.x, p.y, p.w, p.h, min(score, 1.0), track.id, why)

    # verdicts

    def _verdicts(self, last: int) -> list[Verdict]:
        """Judge the frames up to `last` that were not judged yet."""
        found: list[Verdict] = []
        for observed in self._frames:
            if self._judged < observed.frame <= last:
                self._judged = observed.frame
                around = [f for f in self._frames if 0 < abs(f.frame - observed.frame) <= self.options.lag]
                for track in self._tracks:
                    verdict = missed(track, observed, around, self.options) or false_alarm(
                        track, observed, around, self.options
                    )
                    if verdict:
                        found.append(verdict)
        return without_doubles(found, self.options.near)

    def _forget(self, frame: int) -> None:
        horizon = frame - 2 * self.options.lag
        while self._frames and self._frames[0].frame < horizon:
            self._frames.popleft()
        self._tracks = [t for t in self._tracks if not t.ended or t.points[-1].frame >= horizon]


def assign(gains: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of the greatest total gain, one to one; gains of 0 are no pairs."""
    if not gains.size:
        return []
    rows, columns = np.flatnonzero(gains.any(1)), np.flatnonzero(gains.any(0))
    part = gains[np.ix_(rows, columns)]
    chosen = zip(*scipy.optimize.linear_sum_assignment(part, maximize=True), strict=True)
    return [(int(rows[r]), int(columns[c])) for r, c in chosen if part[r, c] > 0]


def _squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x * x + y * y
