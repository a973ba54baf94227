"""Bringing sequences into a data set, each whole or not at all."""

import getpass
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import Box
from irdim.dataset import SPLITS, Dataset
from irdim.errors import InputError
from irdim.sources import Frame, FrameSource, open_source
from irdim.sources.video import Video
from irdim_train.importing.labels import Label, classes_of, read_labels
from irdim_train.importing.layouts import Found, find_sequences
from irdim_train.importing.splits import check_groups, group_of, split_by_globs, split_by_hash


@dataclass(frozen=True)
class Import:
    """What is to be imported: checked as far as it can be without reading all frames."""

    found: list[Found]
    labels: dict[str, list[Label]]
    sources: dict[str, FrameSource]
    classes: dict[str, str]
    groups: dict[str, str]
    step: int = 1

    @property
    def frames(self) -> int:
        """How many frames will be read, as far as the sequences say."""
        return sum(source.length or 0 for source in self.sources.values())

    def layouts(self) -> list[dict[str, Any]]:
        """Which layouts were recognised, with the origin of their boxes and the number of sequences."""
        kinds = sorted({(f.layout, f.origin) for f in self.found}, key=str)
        return [
            {"layout": k, "origin": o, "sequences": sum((f.layout, f.origin) == (k, o) for f in self.found)}
            for k, o in kinds
        ]


@dataclass
class Result:
    """What an import did. `splits`: per split the sequences, frames and boxes added, and the sequences there already."""

    splits: dict[str, dict[str, int]] = field(
        default_factory=lambda: {s: {"sequences": 0, "frames": 0, "boxes": 0, "there": 0} for s in SPLITS}
    )
    added: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_import(
    paths: Sequence[Path],
    *,
    layout: str = "auto",
    origin: int | None = None,
    classes: Mapping[str, str] | None = None,
    group: str | None = None,
    interval: float | None = None,
    step: int = 1,
) -> Import:
    """Find the sequences, read their labels and open their sources. Raises InputError at whatever is wrong; nothing is written."""
    if step < 1:
        raise InputError(f"--step {step}: 1 keeps every frame, 2 every second one")
    found = find_sequences(paths, layout, origin)
    labels = {f.name: read_labels(f.labels, f.origin or 0) if f.labels else [] for f in found}
    groups = {f.name: group_of(f.name, group) for f in found}
    known = classes_of((label.box.label for of in labels.values() for label in of), classes or {})
    sources = {f.name: open_source(f.path, interval=interval) for f in found}
    for name, source in sources.items():
        exact = None if isinstance(source, Video) else source.length
        for label in labels[name]:
            label.check(source.shape, exact)
    return Import(found, labels, sources, known, groups, step)


def import_sequences(
    plan: Import,
    out: Path,
    *,
    val: Sequence[str] = (),
    test: Sequence[str] = (),
    progress: Callable[[str], None] = lambda name: None,
) -> Result:
    """Import into the data set `out`, made if it is not there. `progress` is called with the sequence's name for every frame read.

    A sequence whose frames are there already is left as it is. Raises InputError at the first one that cannot be
    imported; those before it stay, and the next import goes on from there.
    """
    names = [f.name for f in plan.found]
    wished = split_by_globs(names, val, test) if val or test else None
    result = Result(
        notes=[f"{f.path}: {note}" for f in plan.found for note in getattr(plan.sources[f.name], "notes", ())]
    )
    with Dataset.create(out, exist_ok=True) as data:
        splits = _splits(data, plan, wished, result)
        for one in plan.found:
            source = _Checked(plan.sources[one.name], plan.labels[one.name], plan.step, progress)
            boxes = _boxes(plan, one.name)
            added = data.add_sequence(
                one.name,
                source,
                boxes,
                split=splits[one.name],
                group=plan.groups[one.name],
                source=str(one.path.absolute()),
                who=_user(),
                iteration=data.current_iteration(),
            )
            counts = result.splits[splits[one.name]]
            if added:
                result.added.append(one.name)
                counts["sequences"] += 1
                counts["frames"] += added.length
                counts["boxes"] += sum(map(len, boxes.values()))
            else:
                result.there.append(one.name)
                counts["there"] += 1
                result.notes += _differences(data, one.name, boxes)
    return result


@dataclass(frozen=True, eq=False)
class _Checked:
    """A source of which every `step`th frame is kept; at its end the labels are held against the frames."""

    source: FrameSource
    labels: list[Label]
    step: int
    progress: Callable[[str], None]

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def shape(self) -> tuple[int, int]:
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @property
    def interval(self) -> float | None:
        return self.source.interval * self.step if self.source.interval else None

    @property
    def length(self) -> int | None:
        return None if self.source.length is None else -(-self.source.length // self.step)

    def __iter__(self) -> Iterator[Frame]:
        count = 0
        for frame in self.source:
            count = frame.index + 1
            self.progress(self.name)
            if frame.index % self.step == 0:
                index = frame.index // self.step
                yield Frame(index, frame.time if self.interval else float(index), frame.pixels)
        for label in self.labels:
            label.check(self.shape, count)


def _splits(data: Dataset, plan: Import, wished: Mapping[str, str] | None, result: Result) -> dict[str, str]:
    """Split of every sequence by name; one that the data set has stays where it is, with a note if that is not as asked."""
    there = {s.name: s for s in data.sequences()}
    groups = {name: group for name, group in plan.groups.items() if name not in there}
    taken = {s.group: s.split for s in there.values()}
    if wished is None:
        by_group = split_by_hash(plan.groups.values(), taken)
        splits = {name: by_group[group] for name, group in plan.groups.items()}
    else:
        splits = dict(wished)
    check_groups(groups, splits, taken)
    for name in plan.groups.keys() & there.keys():
        is_in, asked = (there[name].split, there[name].group), (splits[name], plan.groups[name])
        if is_in != asked:
            result.notes.append(
                f"{name}: stays in split '{is_in[0]}', group '{is_in[1]}' (not '{asked[0]}', '{asked[1]}')"
            )
        splits[name] = is_in[0]
    return splits


def _boxes(plan: Import, name: str) -> dict[int, list[Box]]:
    """Boxes by frame after the step, with classes for labels."""
    boxes: dict[int, list[Box]] = {}
    for label in plan.labels[name]:
        if label.frame % plan.step == 0:
            box = label.box
            boxes.setdefault(label.frame // plan.step, []).append(
                Box(box.x, box.y, box.w, box.h, plan.classes[box.label])
            )
    return boxes


def _differences(data: Dataset, name: str, boxes: Mapping[int, Sequence[Box]]) -> list[str]:
    """Notes on a sequence that was left out."""
    sequence = next((s for s in data.sequences() if s.name == name), None)
    if sequence is None:
        return [f"{name}: left out, the data set has the same frames under another name"]
    here = {(f, b.x, b.y, b.w, b.h, b.label) for f, of in data.boxes(sequence).items() for b in of}
    if here != {(f, b.x, b.y, b.w, b.h, b.label) for f, of in boxes.items() for b in of}:
        return [f"{name}: its boxes in the data set are not those of the label file; they were left as they are"]
    return []


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        return "unknown"
