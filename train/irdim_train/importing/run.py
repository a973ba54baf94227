"""Bringing sequences into a data set, each whole or not at all."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from irdim.boxes import Box
from irdim.dataset import SPLITS, Dataset
from irdim.dataset import Sequence as Stored
from irdim.dataset.schema import FILE
from irdim.errors import InputError
from irdim.sources import Frame, FrameSource
from irdim.wording import number_of
from irdim_train.importing.labels import Label
from irdim_train.importing.plan import Import
from irdim_train.importing.splits import check_groups, split_by_globs, split_by_hash
from irdim_train.login import login_name


@dataclass
class Result:
    """What an import did. `splits`: per split the sequences, frames and boxes added, and the sequences there already; `labelled`: of those there already the
    ones that had no label yet and have got their boxes."""

    splits: dict[str, dict[str, int]] = field(
        default_factory=lambda: {s: {"sequences": 0, "frames": 0, "boxes": 0, "there": 0} for s in SPLITS}
    )
    added: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    labelled: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
    sources = {f.name: _Checked(plan.sources[f.name], plan.labels[f.name], plan.step, progress) for f in plan.found}
    wished = _wished(plan, val, test)
    who = login_name(otherwise="unknown")
    result = Result(notes=[*plan.notes, *_notes_on_frames(plan), *_notes_on_splits(plan, wished)])
    if not (out / FILE).exists():  # a first import that fails leaves no empty data set behind
        _splits({}, plan, wished, result)
        for _ in replace(sources[plan.found[0].name], progress=lambda name: None):
            pass
    with Dataset.create(out, exist_ok=True) as data:
        there = {s.name: s for s in data.sequences()}
        splits = _splits(there, plan, wished, result)
        decided = {item.sequence_id for item in data.queue_items("decided")}
        for one in plan.found:
            boxes = _boxes(plan, one.name)
            added = data.add_sequence(
                one.name,
                sources[one.name],
                boxes,
                split=splits[one.name],
                group=plan.groups[one.name],
                source=str(one.path.absolute()),
                who=who,
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
                stored = there.get(one.name)
                if stored is None:
                    result.notes.append(f"{one.name}: left out, the data set has the same frames under another name")
                elif boxes and stored.id not in decided and not data.boxes(stored):
                    result.labelled.append(one.name)
                    counts["boxes"] += _add_late(data, stored, boxes, who)
                elif _rounded(data.boxes(stored)) != _rounded(boxes):
                    result.notes.append(
                        f"{one.name}: its boxes in the data set are not those of the label file; they were left as they are"
                    )
        filled = {s.split for s in data.sequences()}
        if "train" not in filled:
            result.notes.append("no sequence is in train: --val and --test take them all")
        elif "test" not in filled and "val" in filled and wished is None:
            result.notes.append(
                "no sequence is in test, there are too few: evaluate will score the val sequences, which also choose the threshold (--test GLOB says otherwise)"
            )
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


def _wished(plan: Import, val: Sequence[str], test: Sequence[str]) -> dict[str, str] | None:
    """Splits as the options or else the layouts have them; None where neither says any."""
    given = {f.name: f.splits[0] for f in plan.found if len(f.splits) == 1}
    if not (val or test) and (torn := next((f for f in plan.found if len(f.splits) > 1), None)):
        raise InputError(
            f"{torn.name}: its frames are in {' and '.join(torn.splits)}, so that training would see what is measured on; "
            "choose by sequence with --val and --test"
        )
    if not (given or val or test):
        return None
    return split_by_globs([f.name for f in plan.found], val, test, given)


def _splits(
    there: Mapping[str, Stored], plan: Import, wished: Mapping[str, str] | None, result: Result
) -> dict[str, str]:
    """Split of every sequence by name; one that the data set has (`there`) stays where it is, with a note if that is not as asked."""
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
                f"{name}: stays in split '{is_in[0]}', group '{is_in[1]}' (not '{asked[0]}', '{asked[1]}'); to move it, import into another --out"
            )
        splits[name] = is_in[0]
    return splits


def _notes_on_splits(plan: Import, wished: Mapping[str, str] | None) -> list[str]:
    """What the splits that a layout gives leave open."""
    if not any(f.splits for f in plan.found) or wished is None:
        return []
    notes = []
    if left := [f.name for f in plan.found if not f.splits and wished[f.name] == "train"]:
        notes.append(f"in no split of the layout, so in train: {number_of(len(left), 'sequence')} ({left[0]})")
    if "val" not in wished.values():
        notes.append(
            "the layout has no val split, by which a detector's threshold is chosen; --val GLOB takes one from train"
        )
    return notes


def _notes_on_frames(plan: Import) -> list[str]:
    return [f"{f.path}: {note}" for f in plan.found for note in getattr(plan.sources[f.name], "notes", ())]


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


def _add_late(data: Dataset, sequence: Stored, boxes: Mapping[int, Sequence[Box]], who: str) -> int:
    """Boxes for a sequence that came without labels and about which nobody has decided anything yet; how many."""
    with data.transaction():
        for frame, of in boxes.items():
            for box in of:
                data.add_box(sequence, frame, box, who=who, why="import")
    return sum(map(len, boxes.values()))


def _rounded(boxes: Mapping[int, Sequence[Box]]) -> Counter[tuple[float | str, ...]]:
    """Boxes to a millionth of a pixel, which formats with edges or parts of the image do not keep better."""
    return Counter(
        (frame, *(round(v, 6) for v in (b.x, b.y, b.w, b.h)), b.label) for frame, of in boxes.items() for b in of
    )
