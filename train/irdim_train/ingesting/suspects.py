"""A suspect becomes a sequence and a queue item.

Nobody has looked at its frames yet, so each is covered by an `ignore` box, which counts for nothing in training and scoring. The queue item puts
the box of the suspect's frame in question: a decision takes its place.
"""

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np

from irdim.boxes import IGNORE, INTERFERENCE, TARGET, Box, holds
from irdim.dataset import Dataset, LabelledBox, Sequence, digest_of
from irdim.errors import InputError
from irdim.fieldlog import LOW_CONFIDENCE, SAMPLE, FieldLog
from irdim.sources import Frame
from irdim.tracks import FALSE_ALARM, MISSED
from irdim_train.labelling import is_labelled

WHO, UNSEEN = "irdim-train ingest", "not looked at yet"


def add_suspect(
    data: Dataset, name: str, digest: str, log: FieldLog, provenance: dict[str, Any]
) -> tuple[Sequence, bool]:
    """Within a transaction. Returns the sequence that its frames are in, and whether a queue item was new."""
    d, times = log.description, log.description["frames"]["times"]
    recording = _recording(data, d)
    split, group = (
        (recording.split, recording.group) if recording else ("train", f"field {provenance['device']}/{d['camera']}")
    )
    given: dict[str, Any] = {"split": split, "group": group, "source": name, "who": WHO, "why": UNSEEN}
    given.update(iteration=data.current_iteration(), interval=d.get("interval"))
    sequence = data.add_sequence(f"log-{digest}", *_unseen(log.frames, times), **given)
    in_question = data.boxes(sequence)[log.index][0].id if sequence and log.kind != SAMPLE else None
    sequence = sequence or _holder(data, name, log)
    if log.whole_frame is not None:
        data.add_sequence(f"log-{digest}-whole", *_unseen(log.whole_frame[None], [times[log.index]]), **given)
    _, height, width = log.frames.shape
    x, y, w, h = log.place
    question, reason = question_of(log), d["verdict"]["reason"]
    label = {MISSED: TARGET, LOW_CONFIDENCE: TARGET, SAMPLE: IGNORE}.get(log.kind, INTERFERENCE)
    proposed = Box(min(x, width - 0.01), min(y, height - 0.01), w, h, label)
    if log.kind != SAMPLE and recording and (there := _labelled_at(data, recording, log)) is not None:
        # a drone that hovers is no interference where it is labelled; of `missed` and `false_alarm` the claim is decided, and the reason speaks against it
        named = f"its recording, {recording.name}, is labelled"
        reason += f"; {named}: {there[0].label if there else 'nothing'} here"
        claims = log.kind in (MISSED, FALSE_ALARM)
        proposed = replace(proposed, label=there[0].label) if there and not claims else proposed
    new = data.enqueue(
        key=question.pop("item"),
        kind=log.kind,
        sequence_id=sequence.id,
        frame=log.index,
        box=proposed,
        score=log.score,
        reason=reason,
        box_id=in_question,
        provenance={**provenance, **question},
    )
    return sequence, new


def question_of(log: FieldLog) -> dict[str, Any]:
    """item: key of the queue item that the suspect asks for, the same whichever device logged it; of a sample also its probability and what the
    device reported on it."""
    d, (x, y, _, _) = log.description, log.place
    item = {"item": f"{log.kind}:{d['frames']['sha256'][:16]}:{log.index}:{x:.0f},{y:.0f}"}
    if log.kind != SAMPLE:
        return item
    return {**item, "sample_probability": d["sample_probability"], "detections": _reported(d)}


def _recording(data: Dataset, d: dict[str, Any]) -> Sequence | None:
    """The one that the device replayed, where the data set holds it: its split and group are those of the suspect, so that nothing leaks out of what is kept
    back for scoring. Others are of their camera's own group, to train on."""
    source, digest = d.get("source"), d.get("source_digest")
    known = data.sequence_with(digest) if isinstance(digest, str) else None
    if known is None and isinstance(source, str):
        with contextlib.suppress(InputError):
            known = data.sequence(source)
    return known


def _labelled_at(data: Dataset, recording: Sequence, log: FieldLog) -> list[LabelledBox] | None:
    """The recording's labels at the suspect's place, nearest first; None where it has none at all, or its frame is another one."""
    labels, index = data.boxes(recording), log.description["verdict"]["frame"]
    (top, left), crop = log.description["frames"]["origin"], log.frames[log.index]
    if not is_labelled(labels) or index >= recording.length:
        return None
    height, width = crop.shape
    if not np.array_equal(data.frames(recording)[index][top : top + height, left : left + width], crop):
        return None
    x, y, w, h = log.place
    x, y = x + left, y + top
    near = [
        b for b in labels.get(index, []) if b.label != IGNORE and (holds(b, x, y) or holds(Box(x, y, w, h), b.x, b.y))
    ]
    return sorted(near, key=lambda b: (b.x - x) ** 2 + (b.y - y) ** 2)


def _unseen(frames: np.ndarray, times: list[float]) -> tuple[list[Frame], dict[int, list[Box]]]:
    """Frames for the data set, each covered."""
    _, height, width = frames.shape
    cover = Box(width / 2, height / 2, float(width), float(height), IGNORE)
    given = [Frame(i, t, pixels) for i, (t, pixels) in enumerate(zip(times, frames, strict=True))]
    return given, {i: [cover] for i in range(len(frames))}


def _holder(data: Dataset, name: str, log: FieldLog) -> Sequence:
    """The sequence that has these frames already."""
    sequence = data.sequence_with(digest_of(log.frames))
    if sequence is None:
        raise InputError(f"{name}: its frames are neither new nor in the data set")
    return sequence


def _reported(d: dict[str, Any]) -> list[dict[str, Any]]:
    """What the device reported on a sampled frame, in px of the crop: detections of at least the report threshold."""
    (top, left), least = d["frames"]["origin"], (d.get("thresholds") or {}).get("report", 0.0)
    on_frame = [b for b in d["detections"] if b["frame"] == d["verdict"]["frame"] and b["score"] >= least]
    return [{**b, "x": b["x"] - left, "y": b["y"] - top} for b in on_frame]
