"""Classical candidates linked to tracks, each proposed as a whole for a person to decide."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from irdim.boxes import INTERFERENCE, TARGET, Box
from irdim.dataset import Dataset, Sequence
from irdim.dataset.records import TRACK
from irdim.differencing import InputSpec
from irdim.history import History
from irdim.sources import Frame
from irdim.tracks import STILL, Track, Tracker, TrackerOptions
from irdim_train.labelling.classical import candidates, score_of
from irdim_train.labelling.snapping import find_spot, window

FAINT, CLEAR = 3.5, 4.5  # sigmas from which a candidate is linked, and of which a track needs some
FEWEST = 6  # candidates of a track
MOST = 20  # proposals a sequence, the best
MOST_STILL = 3  # of these, what stands still: one can look through a few, and there is no end of cloud edges
TRACKING = TrackerOptions(
    report=score_of(CLEAR), confirm_hits=4, confirm_window=6, max_gap=3, max_speed=4.0, max_turn=1.0, keep=0
)


@dataclass(frozen=True)
class Proposal:
    """A track. boxes: by frame, all of one label, gaps filled; seen: how many of them were candidates; score: 0..1; reason: for a person."""

    boxes: dict[int, Box]
    seen: int
    score: float
    reason: str

    @property
    def label(self) -> str:
        return next(iter(self.boxes.values())).label


def propose_tracks(
    frames: np.ndarray,
    times: np.ndarray,
    interval: float | None,
    *,
    frame_step: int = 2,
    progress: Callable[[], None] = lambda: None,
) -> list[Proposal]:
    """Tracks in a sequence, the best first. frames: (T, H, W), read one after the other; times: (T,) seconds."""
    spec = InputSpec("sequence", frame_step, register=True)
    history, tracker = History(spec, interval), Tracker(TRACKING)
    tracks: dict[int, Track] = {}
    moved = np.zeros((len(frames), 2))
    for index in range(len(frames)):
        stack = history.push(Frame(index, float(times[index]), frames[index]))
        if isinstance(stack, str):
            tracker.flush()
        else:
            dy, dx = stack.shifts[0] / frame_step
            moved[index] = dx, dy
            tracker.update(index, float(times[index]), candidates(stack, spec, FAINT), (float(dy), float(dx)))
            tracks.update({t.id: t for t in tracker.links if t is not None and t.confirmed and len(t.points) >= FEWEST})
        progress()
    offsets = np.cumsum(moved, axis=0)
    found = sorted((_proposal(t, frames, offsets) for t in tracks.values()), key=lambda p: -p.score)
    still = [p for p in found if p.label == INTERFERENCE][:MOST_STILL]
    moving = [p for p in found if p.label == TARGET]
    return sorted((moving + still), key=lambda p: -p.score)[:MOST]


def enqueue_proposals(data: Dataset, sequence: Sequence, proposals: list[Proposal]) -> int:
    """Put proposals into the review queue; returns how many were new. The same recording proposes the same twice."""
    new = 0
    with data.transaction():
        for p in proposals:
            points = [[f, *(round(v, 2) for v in (b.x, b.y, b.w, b.h))] for f, b in sorted(p.boxes.items())]
            frame, box = sorted(p.boxes.items())[len(p.boxes) // 2]
            digest = hashlib.sha256(repr(points).encode()).hexdigest()[:16]
            new += data.enqueue(
                key=f"{TRACK}:{sequence.name}:{digest}",
                kind=TRACK,
                sequence_id=sequence.id,
                frame=frame,
                box=box,
                score=p.score,
                reason=p.reason,
                provenance={"by": "classical", "points": points},
            )
    return new


def _proposal(track: Track, frames: np.ndarray, offsets: np.ndarray) -> Proposal:
    points = list(track.points)
    first, last = points[0].frame, points[-1].frame
    numbers = [p.frame for p in points]
    between = np.arange(first, last + 1)
    still = np.array([(p.x, p.y) for p in points]) - offsets[numbers]
    places = np.stack([np.interp(between, numbers, still[:, k]) for k in (0, 1)], axis=1) + offsets[between]
    middle = [p.frame for p in sorted(points, key=lambda p: -p.score)[:5]]
    spot = find_spot(np.stack([window(frames[f], *places[f - first]) for f in middle]))
    side = spot.side if spot else 5.0
    label = INTERFERENCE if track.status == STILL else TARGET
    height, width = frames.shape[1:]
    inside = np.clip(places, 0, (np.nextafter(width, 0), np.nextafter(height, 0)))
    boxes = {int(f): Box(float(x), float(y), side, side, label) for f, (x, y) in zip(between, inside, strict=True)}
    coverage = len(points) / len(between)
    strength = float(np.mean([p.score for p in points]))
    evidence = 1 - np.exp(-len(points) / 15)  # a longer track is a surer one
    speed = float(np.hypot(*(still[-1] - still[0])) / max(last - first, 1))
    moves = (
        "stands still on the sensor or moves with the background"
        if label == INTERFERENCE
        else f"moves {speed:.2f} px a frame"
    )
    reason = (
        f"seen on {len(points)} of frames {first} to {last}, {5 * strength / (1 - strength):.1f} sigma on average; {moves} against the background"
        if label == TARGET
        else f"seen on {len(points)} of frames {first} to {last}; {moves}"
    )
    return Proposal(boxes, len(points), float(strength * coverage * evidence), reason)
