"""Detections of a recording through the tracker: verdicts and whole tracks, as the edge gives them live."""

from dataclasses import dataclass, replace

import numpy as np

from irdim.tracks import MISSED, Track, Tracker, TrackerOptions, Verdict
from irdim_train.evaluate import Found


@dataclass(frozen=True)
class Followed:
    """verdicts: by frame; tracks: those that were confirmed, with all of their points; frames: how many the tracker saw."""

    verdicts: list[Verdict]
    tracks: list[Track]
    frames: int


def follow_detections(found: Found, times: np.ndarray, options: TrackerOptions) -> Followed:
    """times: (T,) seconds of the sequence. Where frames without history lie between, the stream broke: every track ends there."""
    tracker = Tracker(replace(options, keep=0))
    verdicts: list[Verdict] = []
    tracks: dict[int, Track] = {}
    last = None
    shifts = found.shifts if found.shifts is not None else np.zeros((len(found.frames), 2))
    for (index, detections), shift in zip(found, shifts.tolist(), strict=True):
        if last is not None and index != last + 1:
            verdicts += tracker.flush()
        verdicts += tracker.update(index, float(times[index]), detections, (shift[0], shift[1]))
        tracks |= {t.id: t for t in tracker.links if t is not None and t.confirmed}
        last = index
    verdicts += tracker.flush()
    return Followed(_of_moving(verdicts, tracks), list(tracks.values()), len(found.frames))


def _of_moving(verdicts: list[Verdict], tracks: dict[int, Track]) -> list[Verdict]:
    """Without what was held for missed on a track that turned out to stand still: no target."""
    still = {number for number, t in tracks.items() if t.status == "still"}
    return [v for v in verdicts if v.kind != MISSED or v.track_id not in still]
