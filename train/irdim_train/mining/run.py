"""Run a network over sequences, follow what it finds, and ask about what it probably missed or wrongly reported."""

from collections import Counter
from collections.abc import Callable, Mapping
from collections.abc import Sequence as ListOf
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box, Detection
from irdim.bundle import ModelCard
from irdim.dataset import Dataset, Sequence
from irdim.dataset.records import TRACK, LabelledBox
from irdim.engines import Engine
from irdim.errors import InputError
from irdim.fieldlog.records import SAMPLE
from irdim.tracks import STILL, Point, Track, TrackerOptions, Verdict
from irdim_train.evaluate import detect_sequences
from irdim_train.labelling.propose import Proposal
from irdim_train.labelling.queueing import enqueue_proposals, is_labelled
from irdim_train.mining.following import follow_detections
from irdim_train.mining.known import NEAR, is_known, looked_for

CRAWLS = 0.15  # px a frame; what moves less for long goes with a cloud rather than across it
CRAWLS_FOR = 10  # frames; live, the tracker waits longer, but a recording is judged when all of a track is known
LEAST = 0.45  # score of a verdict from which a person is asked
FEWEST = 4  # reports of a track that labels a sequence
AGREED = 0.8  # of a track's reports, from which another network sees it, too


@dataclass(frozen=True)
class MineOptions:
    """tracker: its options, but for the report threshold, which is the network's; least: score below which nothing is asked; most: verdicts at most
    a sequence, the best first, 0 for all."""

    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    least: float = LEAST
    most: int = 0


@dataclass
class Mined:
    """queued: new items by kind; known: verdicts that the labels answer already, by kind; frames: that were judged; warming: that were not;
    sequences: name to its own queued items, by kind."""

    queued: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    warming: int = 0
    sequences: dict[str, dict[str, int]] = field(default_factory=dict)


def mine(
    data: Dataset,
    sequences: ListOf[Sequence],
    card: ModelCard,
    engine: Engine,
    options: MineOptions | None = None,
    *,
    out_of_fold: Mapping[int, Engine] | None = None,
    by: Mapping[str, Any] | None = None,
    progress: Callable[[Sequence], None] = lambda sequence: None,
) -> Mined:
    """Queue missed targets, false alarms and what stands still, and every confirmed track that is not labelled as a label of all of its frames. out_of_fold:
    by a sequence's id, a network that was trained without it; whether it sees a track, too, is in the provenance. by: what that says besides.
    Nothing is labelled until somebody decides; nothing is asked twice."""
    options = options or MineOptions()
    result = Mined()
    facts = {**(by or {}), "by": "mine"}
    for found in detect_sequences(card, engine, data, list(sequences)):
        sequence = found.sequence
        followed = follow_detections(found, data.times(sequence), options.tracker)
        labels = data.boxes(sequence)
        labelled = is_labelled(labels)
        asked = [v for v in followed.verdicts if v.kind != STILL or labelled]  # else proposed as a whole track
        unknown = [v for v in asked if not is_known(v, labels.get(v.frame, []), sequence)]
        result.known.update(v.kind for v in asked)
        result.known.subtract(v.kind for v in unknown)
        chosen = sorted((v for v in unknown if v.score >= options.least), key=lambda v: -v.score)
        queued = _enqueue(data, sequence, chosen[: options.most or None], facts)
        proposals = [p for t in followed.tracks if (p := _proposal(t, labels, stills=not labelled))]
        best = sorted((p for p in proposals if p.score >= options.least), key=lambda p: -p.score)
        other = (out_of_fold or {}).get(sequence.id)
        if best and other is not None:
            (second,) = detect_sequences(card, other, data, [sequence])
            seen = {f: [d for d in ds if d.label == TARGET and d.score >= options.tracker.report] for f, ds in second}
            for agrees in (True, False):
                group = [p for p in best if _agrees(p, seen) == agrees]
                queued[TRACK] += enqueue_proposals(data, sequence, group, **facts, out_of_fold=agrees)
        else:
            queued[TRACK] += enqueue_proposals(data, sequence, best, **facts)
        queued = +queued
        result.queued += queued
        result.sequences[sequence.name] = dict(queued)
        result.frames += followed.frames
        result.warming += found.warming
        progress(sequence)
    result.known = +result.known
    return result


def _enqueue(data: Dataset, sequence: Sequence, verdicts: ListOf[Verdict], facts: Mapping[str, Any]) -> Counter[str]:
    """How many were new, by kind. A place that was asked about before, by whatever network, device or for whatever reason, is not asked about again."""
    queued: Counter[str] = Counter()
    with data.transaction():
        asked: dict[int, list[Box]] = {}
        for item in data.queue_items():
            if item.sequence_id == sequence.id and item.kind not in (TRACK, SAMPLE):
                asked.setdefault(item.frame, []).append(item.box)
        for v in verdicts:
            here = asked.setdefault(v.frame, [])
            if any(np.hypot(b.x - v.x, b.y - v.y) <= NEAR for b in here):
                continue
            if not (0 <= v.x < sequence.width and 0 <= v.y < sequence.height):
                continue
            box = Box(v.x, v.y, v.w, v.h, looked_for(v))
            here.append(box)
            queued[v.kind] += data.enqueue(
                key=f"{v.kind}:{sequence.name}:{v.frame}:{v.x:.1f},{v.y:.1f}",
                kind=v.kind,
                sequence_id=sequence.id,
                frame=v.frame,
                box=box,
                score=v.score,
                reason=v.reason,
                provenance={**facts, "track": v.track_id},
            )
    return queued


def _proposal(track: Track, labels: Mapping[int, ListOf[LabelledBox]], *, stills: bool) -> Proposal | None:
    """A confirmed track as labels of the frames on which it was reported and is not labelled yet; None where they are few, or where it stands still and
    `stills` are asked about in another way. The gaps, and where it was too weak to be reported, are asked about one by one."""
    if track.status == STILL and not stills:
        return None
    points = [p for p in track.points if p.reported and not _is_at(p, labels.get(p.frame, []))]
    if len(points) < FEWEST:
        return None
    still = track.status == STILL
    label = INTERFERENCE if still else TARGET
    best = max(points, key=lambda p: p.score)
    span = points[-1].frame - points[0].frame + 1
    mean = float(np.mean([p.score for p in points]))
    what = "stands still" if still else f"moves {_speed(points):.1f} px a frame"
    reason = f"reported on {len(points)} of {span} frames, {what}, mean score {mean:.2f}"
    boxes = {p.frame: Box(p.x, p.y, p.w, p.h, label) for p in points}
    return Proposal(boxes, best.frame, len(points), min(mean * len(points) / span, 1.0), reason)


def _agrees(p: Proposal, seen: Mapping[int, ListOf[Detection]]) -> bool:
    """Whether another network reports most of a track's points."""
    hits = [any(np.hypot(d.x - b.x, d.y - b.y) <= NEAR for d in seen.get(f, [])) for f, b in p.boxes.items()]
    return bool(np.mean(hits) >= AGREED)


def _is_at(point: Point, boxes: ListOf[LabelledBox]) -> bool:
    return any(b.label != IGNORE and np.hypot(b.x - point.x, b.y - point.y) <= NEAR for b in boxes)


def _speed(points: list[Point]) -> float:
    one, other = points[0], points[-1]
    return float(np.hypot(other.sx - one.sx, other.sy - one.sy) / max(other.frame - one.frame, 1))


def open_tracker(report: float, **options: Any) -> TrackerOptions:
    """Tracker options for mining, with a network's report threshold."""
    return TrackerOptions(**{"report": report, "still_speed": CRAWLS, "still_frames": CRAWLS_FOR, **options})


def choose_sequences(data: Dataset, patterns: ListOf[str], split: str | None = None) -> list[Sequence]:
    """Those that a glob pattern names, or all; of a split where one is given. Raises InputError where a pattern names none."""
    there = data.sequences(split)
    for pattern in patterns:
        if not any(fnmatchcase(s.name, pattern) for s in there):
            names = ", ".join(s.name for s in there[:3]) + (", ..." if len(there) > 3 else "")
            raise InputError(f"{data.path}: no sequence '{pattern}'; there are {names or 'none'}")
    chosen = [s for s in there if not patterns or any(fnmatchcase(s.name, p) for p in patterns)]
    if not chosen:
        raise InputError(f"{data.path}: no sequences to mine; import some with irdim-train import")
    return chosen
