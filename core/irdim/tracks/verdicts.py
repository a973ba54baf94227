"""What a track says about a frame that it looks back on. Definitions and scores: see irdim.tracks."""

from collections.abc import Sequence

from irdim.tracks.records import FALSE_ALARM, MISSED, Observed, Point, Track, TrackerOptions, Verdict


def missed(track: Track, at: Observed, around: list[Observed], options: TrackerOptions) -> Verdict | None:
    """Whether a track was there on the frame `at`, and not reported. around: the other frames within the lag.

    Its place comes from reports alone: a weak detection in the gap is as often drawn to something beside the target.
    """
    point = track.at(at.frame)
    if track.status != "confirmed" or (point and point.reported):
        return None
    window = [p for p in track.points if 0 < abs(p.frame - at.frame) <= options.lag]
    before = [p for p in window if p.reported and p.frame < at.frame]
    after = [p for p in window if p.reported and p.frame > at.frame]
    if not before or not after:
        return None
    one, other = before[-1], after[0]
    place = _between(one, other, at)
    if at.has_report(place[0] - at.offset[0], place[1] - at.offset[1], options.near):
        return None  # another track has it: two detections of one target
    seen = (one.score + other.score) / 2 * len(window) / max(len(around), 1)
    score = seen * min(_way(track, at.frame, options) / max(options.near, 1e-9), 1.0)
    here = f"here only {point.score:.2f}" if point else "nothing here"
    reason = f"reported {at.frame - one.frame} before and {other.frame - at.frame} after, {here}"
    return Verdict(MISSED, at.frame, *place, score=min(score, 1.0), track_id=track.id, reason=reason)


def false_alarm(track: Track, at: Observed, around: list[Observed], options: TrackerOptions) -> Verdict | None:
    """Whether a track's report on the frame `at` stands alone. around: the other frames within the lag."""
    point = track.at(at.frame)
    if track.confirmed or not point or not point.reported:
        return None
    weak = [p for p in track.points if 0 < abs(p.frame - at.frame) <= options.lag]
    if any(p.reported for p in weak) or len(weak) >= options.confirm_hits:
        return None
    if not any(f.frame < at.frame for f in around) or not any(f.frame > at.frame for f in around):
        return None  # the stream began or broke here: nobody can say what was before or after
    if any(f.has_report(point.sx, point.sy, options.near) for f in around):
        return None
    score = point.score * (1 - len(weak) / options.confirm_hits)
    reason = f"reported once ({point.score:.2f}), nothing within {options.near:g} px in {len(around)} frames around"
    return Verdict(FALSE_ALARM, at.frame, point.x, point.y, point.w, point.h, min(score, 1.0), track.id, reason)


def stillness(track: Track, options: TrackerOptions) -> str:
    """How a track stands still of late, in words; empty where it moves or is too young to say."""
    newest = track.points[-1].frame
    return how_still([p for p in track.points if p.frame > newest - 2 * options.still_frames], options)


def how_still(points: Sequence[Point], options: TrackerOptions) -> str:
    """How something stands still over all of these points, in words; empty where it moves or they are too few to say."""
    o, span = options, points[-1].frame - points[0].frame
    if span < o.still_frames - 1 or len(points) < o.still_frames // 2:
        return ""
    on_sensor, against_background = wanders(points)
    allowed = max(o.still_speed * span, o.noise / 2)
    if on_sensor <= allowed:
        return f"stands still on the sensor for {span + 1} frames"
    if against_background <= allowed:
        return f"moves with the background for {span + 1} frames"
    return ""


def _way(track: Track, frame: int, options: TrackerOptions) -> float:
    """px that a track's reports wander in three times the lag, on the sensor or against the background, whichever is less: from those between twice the
    lag before a frame and the lag after it; what spans less than twice the lag is taken to stand still for the rest of that."""
    lag = options.lag
    reports = [p for p in track.points if p.reported and -2 * lag <= p.frame - frame <= lag]
    return min(wanders(reports)) * 3 * lag / max(reports[-1].frame - reports[0].frame, 2 * lag)


def wanders(points: Sequence[Point]) -> tuple[float, float]:
    """px that something moves altogether, on the sensor and against the background: see `_wanders`."""
    return _wanders([(p.x, p.y) for p in points]), _wanders([(p.sx, p.sy) for p in points])


def _wanders(places: list[tuple[float, float]]) -> float:
    """px between the mean places of the first and the last third, or half the extent (5 to 95 %) where that is more."""
    n, third = len(places), max(len(places) // 3, 1)
    drift, extent = 0.0, 0.0
    for along in zip(*places, strict=True):  # x, then y; plain Python: many short tracks are judged on each frame
        drift += ((sum(along[-third:]) - sum(along[:third])) / third) ** 2
        ranked = sorted(along)
        extent = max(extent, ranked[n - 1 - n // 20] - ranked[n // 20])
    return float(max(drift**0.5, extent / 2))


def _between(one: Point, other: Point, at: Observed) -> tuple[float, float, float, float]:
    """Centre and size on a frame between two points: linear, in the scene; then as that frame showed it."""
    part = (at.frame - one.frame) / (other.frame - one.frame)

    def mix(a: float, b: float) -> float:
        return a + (b - a) * part

    x, y = mix(one.sx, other.sx) + at.offset[0], mix(one.sy, other.sy) + at.offset[1]
    return x, y, mix(one.w, other.w), mix(one.h, other.h)


def without_doubles(verdicts: list[Verdict], near: float) -> list[Verdict]:
    """By frame, best first; of two of a kind within `near` px on one frame the better stays."""
    kept: list[Verdict] = []
    for v in sorted(verdicts, key=lambda v: (v.frame, -v.score, v.track_id)):
        same = (k for k in kept if k.frame == v.frame and k.kind == v.kind)
        if not any((k.x - v.x) ** 2 + (k.y - v.y) ** 2 <= near**2 for k in same):
            kept.append(v)
    return kept
