"""Events that the tracker does not judge: detections of low confidence, and the random sample of whole frames.

Both come when the verdicts on their frame are final, so that the frames after it are there.
"""

import random
from collections import deque
from dataclasses import dataclass

from irdim.detector import Step
from irdim.fieldlog import LOW_CONFIDENCE, SAMPLE
from irdim.tracks import MISSED, STILL, Track, TrackerOptions, Verdict


@dataclass(frozen=True)
class _Candidate:
    verdict: Verdict
    track: Track | None


class Candidates:
    """Watches judged frames, and gives what is due.

    low_confidence: a detection between the low and the report threshold that a track confirms: one seen in at least `confirm_hits` of the last
    `confirm_window` frames, reported or not, which does not stand still. An isolated weak detection is mostly noise, and none. Where the frame is
    judged missed on that track, that verdict stands instead. Score: the detection's, divided by the report threshold.

    sample: a frame taken with a fixed probability, drawn by the seed and the frame's turn alone, whatever is in it.
    """

    def __init__(self, options: TrackerOptions, *, probability: float, seed: str) -> None:
        self._options, self._probability = options, probability
        self._draw = random.Random(seed)
        self._waiting: deque[_Candidate] = deque()

    def watch(self, step: Step, links: list[Track | None], since: int) -> None:
        """Take a judged frame. links: the tracks of its detections, after the tracker's update; since: the first of the last confirm_window frames."""
        frame, o = step.frame.index, self._options
        for d, track in zip(step.detections, links, strict=True):
            if track is None or d.score >= o.report:
                continue
            seen = _seen(track, since)
            if seen >= o.confirm_hits:
                reason = f"only {d.score:.2f} here, on a track seen in {seen} of {o.confirm_window} frames"
                verdict = Verdict(
                    LOW_CONFIDENCE, frame, d.x, d.y, d.w, d.h, min(d.score / o.report, 1.0), track.id, reason
                )
                self._waiting.append(_Candidate(verdict, track))
        if self._draw.random() < self._probability:
            height, width = step.frame.pixels.shape
            reason = f"taken at random, with probability {self._probability:g}"
            whole = Verdict(SAMPLE, frame, width / 2, height / 2, float(width), float(height), 0.0, 0, reason)
            self._waiting.append(_Candidate(whole, None))

    def due(self, last: int | None, verdicts: list[Verdict]) -> list[Verdict]:
        """Candidates on frames up to `last` (None: all). verdicts: the tracker's, final now."""
        missed = {(v.frame, v.track_id) for v in verdicts if v.kind == MISSED}
        found = []
        while self._waiting and (last is None or self._waiting[0].verdict.frame <= last):
            one = self._waiting.popleft()
            still = one.track is not None and one.track.status == STILL
            if not still and (one.verdict.frame, one.verdict.track_id) not in missed:
                found.append(one.verdict)
        return found


def _seen(track: Track, since: int) -> int:
    """On how many frames from this one on the track has a point."""
    count = 0
    for point in reversed(track.points):
        if point.frame < since:
            break
        count += 1
    return count
