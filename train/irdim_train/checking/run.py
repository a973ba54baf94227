"""All checks, each sequence read once, frame by frame; where labels jump, as far as their pictures a second time."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from irdim.boxes import TARGET
from irdim.dataset import SPLITS
from irdim.dataset.frames import read_through
from irdim.errors import InputError
from irdim.sources import Frame
from irdim_train.checking.findings import Finding, Severity, cut_around
from irdim_train.checking.frames import SEEN_AS, FrameCheck, thumbnail
from irdim_train.checking.jumps import find_jumps
from irdim_train.checking.labels import LabelCheck
from irdim_train.checking.seen import COLUMNS, Seen
from irdim_train.checking.sets import compare_sets, recordings
from irdim_train.checking.subjects import Subject
from irdim_train.checking.suggest import Sizing, suggest_frame_step, table_1
from irdim_train.target_properties import speeds

CLEARLY_OFF, OFF = 2.0, 0.4  # px; median distance of labels from what they label: harmful, worth a look
SHOWN = 12  # jumps of a sequence with a picture
FEW = 20  # targets, below which no systematic offset is claimed


@dataclass
class Checked:
    """The result. findings: the worst first."""

    findings: list[Finding] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    @property
    def harmful(self) -> bool:
        return any(f.severity is Severity.HARMFUL for f in self.findings)

    def column(self, name: str, split: str | None = None) -> np.ndarray:
        """A property of all targets (of a split): one of COLUMNS, or 'speed'."""
        parts = [
            s.speeds if name == "speed" else s.targets[:, COLUMNS.index(name)]
            for s in self.seen
            if split in (None, s.subject.split)
        ]
        return np.concatenate([*parts, np.zeros(0)])

    @property
    def splits(self) -> list[str]:
        return sorted({s.subject.split for s in self.seen}, key=lambda split: ("", *SPLITS).index(split or ""))

    def frame_step(self) -> tuple[int, str]:
        """See suggest_frame_step."""
        return suggest_frame_step(
            self.column("box"), self.column("spot"), self.column("speed"), [s.frames for s in recordings(self.seen)]
        )

    def sizing(self) -> list[Sizing]:
        """Table 1 for the commonest frames."""
        if not self.seen:
            return []
        (shape, dtype), _ = Counter((s.shape, s.dtype) for s in self.seen).most_common(1)[0]
        boxes = self.column("box")
        return table_1(shape, np.dtype(dtype).itemsize, float(np.median(boxes)) ** 2 if len(boxes) else None)

    def figures(self, split: str) -> dict[str, Any]:
        """Counts and medians of a split; None where there is nothing to take one of."""
        mine = [s for s in self.seen if s.subject.split == split]

        def middle(name: str) -> float | None:
            values = self.column(name, split)
            values = values[np.isfinite(values)]
            return round(float(np.median(values)), 3) if len(values) else None

        return {
            "sequences": len(mine),
            "frames": sum(s.frames for s in mine),
            "boxes": sum(s.boxes for s in mine),
            "targets": sum(len(s.targets) for s in mine),
            **{f"median_{name}": middle(name) for name in ("box", "spot", "scr", "speed")},
            **{f"median_{name}": None if (m := middle(name)) is None else -m for name in ("offset_x", "offset_y")},
        }

    def to_json(self) -> dict[str, Any]:
        step, why = self.frame_step() if self.seen else (None, "")
        counts = Counter(f.severity.value for f in self.findings)
        return {
            "harmful": self.harmful,
            "counts": {s.value: counts[s.value] for s in Severity},
            "findings": [f.to_json() for f in self.findings],
            "splits": {split: self.figures(split) for split in self.splits},
            "frame_step": {"suggested": step, "why": why},
            "table_1": [s.to_json() for s in self.sizing()],
        }


def check(subjects: Sequence[Subject], progress: Callable[[str], None] = lambda name: None) -> Checked:
    """Check every sequence by itself, then all of them together. `progress` is called with the sequence's name for every frame."""
    result = Checked()
    for subject in subjects:
        result.findings += [Finding("labels", f"{subject.name}: {note}", subject.name) for note in subject.notes]
        seen = _check_one(subject, result.findings, progress)
        if seen is not None:
            result.seen.append(seen)
    compare_sets(result.seen, result.findings)
    _look_for_offset(result)
    order = list(Severity)
    result.findings.sort(key=lambda f: order.index(f.severity))
    return result


def _check_one(subject: Subject, findings: list[Finding], progress: Callable[[str], None]) -> Seen | None:
    """One sequence; None where nothing of it could be read."""
    if subject.trouble:
        findings.append(Finding("unreadable", subject.trouble, subject.name))
        return None
    frames, labels = FrameCheck(subject.name, subject.interval), LabelCheck(subject.name)
    places: dict[int, np.ndarray] = {}

    def looked_at() -> Iterator[Frame]:
        for frame in subject.read():
            yield frame  # refused there where it is not like those before it
            boxes = subject.boxes.get(frame.index, [])
            targets = [b for b in boxes if b.label == TARGET]
            frames.push(frame, bool(targets))
            labels.push(frame.index, frame.pixels, boxes)
            if targets:
                places[frame.index] = np.array([(b.x, b.y) for b in targets])
            progress(subject.name)

    digest = None
    try:
        digest = read_through(subject.name, looked_at(), None).digest
        labels.frames_missing(frames.count, sorted(subject.boxes))
    except InputError as error:
        findings.append(Finding("unreadable", str(error), subject.name, frames.count))
    frames.finish()
    labels.finish()
    findings += frames.findings + labels.findings
    if frames.shape is None or frames.dtype is None or frames.first is None:
        return None
    if digest and subject.digest and digest != subject.digest:
        text = f"{subject.name}: its pixels are not those that were imported; put the file back, or import again under another name"
        findings.append(Finding("changed", text, subject.name))
    moved = np.cumsum(np.array(frames.shifts)[:, ::-1], axis=0)
    _look_for_jumps(subject, places, moved, findings)
    indices = range(frames.count)
    nobody = np.zeros((0, 2))
    return Seen(
        subject,
        frames.count,
        labels.boxes,
        frames.shape,
        frames.dtype.name,
        np.array(labels.targets).reshape(-1, len(COLUMNS)),
        speeds(np.arange(frames.count), [places.get(i, nobody) for i in indices], np.array(frames.shifts)),
        np.frombuffer(b"".join(frames.digests), f"V{SEEN_AS}"),
        thumbnail(frames.first),
    )


def _look_for_jumps(
    subject: Subject, places: dict[int, np.ndarray], moved: np.ndarray, findings: list[Finding]
) -> None:
    jumps = find_jumps(places, {frame: moved[frame] for frame in places})
    if not jumps:
        return
    wanted = {frame: number for frame, number, _ in jumps[:SHOWN]}
    pictures = {}
    for frame in subject.read():  # a second reading, only where there is something to show
        if frame.index in wanted:
            boxes = [b for b in subject.boxes[frame.index] if b.label == TARGET]
            pictures[frame.index] = cut_around(frame.pixels, boxes[wanted[frame.index]])
        if frame.index >= max(wanted):
            break
    for index, _, distance in jumps:
        text = f"{subject.name}, frame {index}: a label {distance:.0f} px off its trajectory, as no target jumps; correct it"
        picture, box = pictures.get(index, (None, None))
        findings.append(Finding("jump", text, subject.name, index, picture, box))


def _look_for_offset(result: Checked) -> None:
    """A systematic distance of labels from their targets, as of coordinates that count from 1 or name a corner."""
    x, y = result.column("offset_x"), result.column("offset_y")
    known = np.isfinite(x)
    if known.sum() < FEW:
        return
    dx, dy = float(np.median(x[known])), float(np.median(y[known]))
    if max(abs(dx), abs(dy)) > OFF:
        text = (
            f"labels lie off their targets by ({-dx:+.1f}, {-dy:+.1f}) px (x, y; median of {known.sum()}); do they count pixels from 1, or name a "
            "corner of the box? see --origin and --centres-from of irdim-train import"
        )
        result.findings.append(Finding("offset" if max(abs(dx), abs(dy)) > CLEARLY_OFF else "labels", text))
