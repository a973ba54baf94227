"""Classical candidates linked to tracks, each proposed as a whole for a person to decide.

Frames are read one after the other and memory does not grow with their number: a track longer than LONGEST is proposed in parts, and only the best are kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from irdim.boxes import INTERFERENCE, TARGET, Box
from irdim.errors import InputError
from irdim.tracks import Point, Track, Tracker, TrackerOptions, how_still, wanders
from irdim_train.labelling.classical import (
    SIGNS,
    Candidate,
    candidates,
    reference_frames,
    score_of,
    temporal_median,
    temporal_noise,
)
from irdim_train.labelling.follow import snapped
from irdim_train.labelling.motion import background_motion, unbroken

FEWEST = 6  # candidates of a track
LONGEST = 500  # frames of a proposal
NEAR = 6.0  # px; of two tracks that lie this near on most frames, the better stays
KEPT = 4  # times as many tracks as are proposed are kept until the end, for those that turn out to be doubles
WANDER = 3.0  # px; a way that is worth half
EDGE = 0.5  # sigmas of local contrast, over which a track turns from an edge to something by itself
STILL_WORTH = 0.2  # of what stands still: it comes after what moves
SNAP = 2.0  # px; how far from a candidate its centroid is looked for
ROUGH = 1.0  # px off the straight way between its neighbours that halves a track's worth


@dataclass(frozen=True)
class ProposalOptions:
    """threshold: sigmas that a track needs on one of its frames; weaker candidates, down to a sigma less, are linked.
    polarity: 'hot', 'cold' or 'both'; max_speed: px a frame against the background; still_speed: what moves less than this, px a frame, on the
    sensor or against the background is proposed as interference; most, most_still: proposals of targets and of interference a sequence."""

    threshold: float = 4.5
    polarity: str = "both"
    max_speed: float = 4.0
    still_speed: float = 0.05
    most: int = 20
    most_still: int = 3

    def __post_init__(self) -> None:
        if not 2 <= self.threshold <= 100:
            raise InputError(f"threshold {self.threshold:g}: from 2 to 100 sigma; noise alone has a lot of 3")
        if self.polarity not in SIGNS:
            raise InputError(f"polarity '{self.polarity}': choose one of {', '.join(SIGNS)}")
        if self.most < 1 or self.most_still < 0:
            raise InputError(f"at most {self.most} proposals: at least 1")
        self.tracking  # noqa: B018 - the tracker's options check themselves

    @property
    def tracking(self) -> TrackerOptions:
        return TrackerOptions(
            report=score_of(self.threshold),
            confirm_hits=4,
            confirm_window=6,
            max_gap=5,
            max_speed=self.max_speed,
            max_turn=1.0,
            still_speed=self.still_speed,
        )


@dataclass(frozen=True)
class Proposal:
    """A track. boxes: by frame, all of one label, gaps filled; shown: the frame on which it is clearest; seen: how many of them were candidates;
    score: 0..1; reason: for a person."""

    boxes: dict[int, Box]
    shown: int
    seen: int
    score: float
    reason: str

    @property
    def label(self) -> str:
        return next(iter(self.boxes.values())).label


@dataclass(frozen=True)
class _Path:
    """A linked track: its points with their candidates; places: x, y by frame, gaps filled."""

    points: list[tuple[Point, Candidate]]
    places: dict[int, tuple[float, float]]
    still: str
    score: float


def propose_tracks(
    frames: np.ndarray,
    times: np.ndarray,
    interval: float | None,
    options: ProposalOptions | None = None,
    *,
    progress: Callable[[], None] = lambda: None,
) -> list[Proposal]:
    """Tracks in a sequence, the best first, at most `most` of targets and `most_still` of interference.

    frames: (T, H, W); times: (T,) seconds; interval: nominal seconds between frames, or None.
    """
    options = options or ProposalOptions()
    moving: list[_Path] = []
    still: list[_Path] = []
    for path in _paths(frames, times, interval, options, progress):
        kept, most = (still, options.most_still) if path.still else (moving, options.most)
        kept.append(path)
        if len(kept) > 2 * KEPT * most:
            kept[:] = _best(kept)[: KEPT * most]
    chosen = _without_doubles(_best(moving), options.most)
    chosen += _without_doubles(_best(still), options.most_still)
    return [_proposal(path, frames) for path in _best(chosen)]


def _paths(
    frames: np.ndarray,
    times: np.ndarray,
    interval: float | None,
    options: ProposalOptions,
    progress: Callable[[], None],
) -> Iterator[_Path]:
    """Every confirmed track, as it ends."""
    for first, last in unbroken(times, interval):
        moved = background_motion(frames, first, last)
        tracker = Tracker(options.tracking)
        live: dict[int, tuple[Track, list[tuple[Point, Candidate]]]] = {}
        for index in range(first, last + 1):
            found = _look(frames, index, first, last, moved, options)
            dx, dy = moved[index - first] - moved[max(index - 1 - first, 0)]
            tracker.update(index, float(times[index]), [c.as_detection() for c in found], (float(dy), float(dx)))
            for track, candidate in zip(tracker.links, found, strict=True):
                assert track is not None  # every target is linked
                live.setdefault(track.id, (track, []))[1].append((track.points[-1], candidate))
            oldest = index - LONGEST + 1
            for number in [n for n, (t, points) in live.items() if t.ended or points[0][0].frame <= oldest]:
                yield from _path(*live.pop(number), moved, first, options)
            progress()
        for track, points in live.values():
            yield from _path(track, points, moved, first, options)


def _look(
    frames: np.ndarray, index: int, first: int, last: int, moved: np.ndarray, options: ProposalOptions
) -> list[Candidate]:
    def shifts(others: list[int]) -> np.ndarray:
        return (moved[index - first] - moved[[f - first for f in others]])[:, ::-1]

    if first == last:
        return []  # one frame makes no track
    frame, beside = frames[index], index - 1 if index > first else index + 1
    references = reference_frames(index, first, last)
    median = temporal_median(frame, frames[references], shifts(references)) if references else None
    noise = temporal_noise(frame, frames[beside], shifts([beside])[0])
    return candidates(frame, median, noise, options.threshold - 1, options.polarity)


def _path(
    track: Track, points: list[tuple[Point, Candidate]], moved: np.ndarray, first: int, options: ProposalOptions
) -> Iterator[_Path]:
    if not track.confirmed or len(points) < FEWEST:
        return
    linked = [p for p, _ in points]
    numbers = [p.frame for p in linked]
    between = np.arange(numbers[0], numbers[-1] + 1)
    offsets = moved[between - first]
    against = np.array([(p.x, p.y) for p in linked]) - moved[np.array(numbers) - first]
    places = np.stack([np.interp(between, numbers, against[:, k]) for k in (0, 1)], axis=1) + offsets
    strength = float(np.mean([p.score for p in linked]))
    coverage = len(points) / len(between)
    evidence = 1 - float(np.exp(-len(points) / 15))  # a longer track is a surer one
    smooth = 1 / (1 + (_roughness(np.array(numbers), against) / ROUGH) ** 2)
    contrast = float(np.median([c.contrast for _, c in points]))
    alone = 1 / (1 + float(np.exp(-contrast / EDGE)))
    still, wander = how_still(linked, options.tracking), min(wanders(linked))
    moves = STILL_WORTH if still else wander / (wander + WANDER)
    score = strength * coverage * evidence * smooth * alone * moves
    yield _Path(points, dict(zip(between.tolist(), map(tuple, places.tolist()), strict=True)), still, score)


def _roughness(numbers: np.ndarray, places: np.ndarray) -> float:
    """px (rms) that the points of a track, (n, 2) on the frames `numbers`, lie off the straight way between their neighbours."""
    before, after = numbers[1:-1] - numbers[:-2], numbers[2:] - numbers[1:-1]
    part = (before / (before + after))[:, None]
    off = places[1:-1] - (places[:-2] * (1 - part) + places[2:] * part)
    return float(np.sqrt(np.mean((off**2).sum(axis=1))))


def _best(paths: list[_Path]) -> list[_Path]:
    return sorted(paths, key=lambda p: (-p.score, min(p.places)))


def _without_doubles(paths: list[_Path], most: int) -> list[_Path]:
    """The first `most` that do not lie on a better one for most of their frames."""
    kept: list[_Path] = []
    for path in paths:
        if len(kept) == most:
            break
        if not any(_share_near(path.places, other.places) > 0.5 for other in kept):
            kept.append(path)
    return kept


def _share_near(places: dict[int, tuple[float, float]], others: dict[int, tuple[float, float]]) -> float:
    """Share of the frames of `places` on which `others` has one within NEAR px."""
    both = [(p, others[f]) for f, p in places.items() if f in others]
    near = sum((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 <= NEAR**2 for a, b in both)
    return near / len(places)


def _proposal(path: _Path, frames: np.ndarray) -> Proposal:
    label, known = INTERFERENCE if path.still else TARGET, [p.frame for p, _ in path.points]
    followed = snapped(frames, path.places, known, label, SNAP)
    clearest, _ = max(path.points, key=lambda point: point[1].sigmas)
    return Proposal(followed.boxes, clearest.frame, len(path.points), path.score, _reason(path))


def _reason(path: _Path) -> str:
    points = [p for p, _ in path.points]
    first, last = points[0], points[-1]
    if path.still:
        moves = path.still
    else:
        speed = np.hypot(last.sx - first.sx, last.sy - first.sy) / max(last.frame - first.frame, 1)
        moves = f"moves {speed:.2f} px a frame against the background"
    seen = np.array([(c.top_hat, c.contrast, c.temporal) for _, c in path.points])
    hat, contrast = np.median(seen[:, :2], axis=0)
    known = seen[np.isfinite(seen[:, 2]), 2]
    temporal = f", against the temporal median {np.median(known):.1f}" if len(known) else ""
    return (
        f"{moves}; seen on {len(points)} of frames {first.frame} to {last.frame}; "
        f"top-hat {hat:.1f} sigma, local contrast {contrast:.1f}{temporal}"
    )
