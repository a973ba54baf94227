"""What is to be imported: sequences found, opened and their labels read."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irdim.boxes import TARGET
from irdim.errors import InputError
from irdim.sources import FrameSource
from irdim.sources.video import Video
from irdim.wording import number_of
from irdim_train.importing.found import Found, Options
from irdim_train.importing.labels import COLUMNS, Label, classes_of, is_target
from irdim_train.importing.layouts import find_sequences
from irdim_train.importing.masks import STILLS
from irdim_train.importing.recordings import WHY
from irdim_train.importing.splits import group_of

NAMED = 5  # sequences in a note


@dataclass(frozen=True)
class Import:
    """What is to be imported: checked as far as it can be without reading all frames."""

    found: list[Found]
    labels: dict[str, list[Label]]
    sources: dict[str, FrameSource]
    classes: dict[str, str]
    groups: dict[str, str]
    step: int = 1
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames will be read, as far as the sequences say."""
        return sum(source.length or 0 for source in self.sources.values())

    def layouts(self) -> list[dict[str, Any]]:
        """Which layouts were recognised, with the origin of their boxes and the number of sequences."""
        kinds = Counter((f.layout, f.origin) for f in self.found)
        return [{"layout": k, "origin": o, "sequences": kinds[k, o]} for k, o in sorted(kinds, key=str)]

    def recognised(self) -> list[str]:
        """A line for each layout: how many sequences, what it was recognised by, where its pixels begin, and the splits that it gives."""
        lines = []
        for (layout, why, origin), times in Counter((f.layout, f.why, f.origin) for f in self.found).items():
            given = Counter(
                f.splits[0] for f in self.found if (f.layout, f.why) == (layout, why) and len(f.splits) == 1
            )
            number = number_of(times, "sequence")
            line = f"{layout}: {number} {why}" if layout in WHY else f"{layout}: {why}; {number}"
            line += "" if origin is None else f", boxes {origin}-based"
            lines.append(
                line + (f"; its splits: {', '.join(f'{s} {n}' for s, n in sorted(given.items()))}" if given else "")
            )
        return lines


def plan_import(
    paths: Sequence[Path],
    *,
    layout: str = "auto",
    origin: int | None = None,
    options: Options | None = None,
    classes: Mapping[str, str] | None = None,
    group: str | None = None,
    interval: float | None = None,
    step: int = 1,
    progress: Callable[[str, int], None] = lambda name, of: None,
) -> Import:
    """Find the sequences, open them and read their labels. Raises InputError at whatever is wrong; nothing is written.

    `progress` is called with the name of each sequence and the number of them all.
    """
    if step < 1:
        raise InputError(f"--step {step}: 1 keeps every frame, 2 every second one")
    found = find_sequences(paths, layout, origin, options)
    groups = {f.name: group_of(f.name, group) for f in found}
    sources, labels, notes = {}, {}, []
    for one in found:
        progress(one.name, len(found))
        source = one.open(interval)
        reading = one.read(source)
        exact = None if isinstance(source, Video) else source.length
        sources[one.name], labels[one.name] = source, [label.within(source.shape) for label in reading.labels]
        for label in labels[one.name]:
            label.check(source.shape, exact)
        notes += [f"{one.name}: {note}" for note in reading.notes]
    notes += _notes_on_missing_labels(found)
    if any(one.layout == STILLS for one in found):
        notes.append("single images have no older frames: nothing can be trained on their differences")
    known = _classes(found, labels, classes or {})
    if taken := [n for n, label in known.items() if label == TARGET and not is_target(n) and n not in (classes or {})]:
        notes.append(f"taken for targets: {', '.join(taken)}; --map {taken[0]}=interference (or ignore) says otherwise")
    return Import(found, labels, sources, known, groups, step, tuple(notes))


def _notes_on_missing_labels(found: Sequence[Found]) -> list[str]:
    """Sequences that have no labels at all: nothing tells one without targets from one whose labels were forgotten."""
    without = [one for one in found if one.labels is None]
    if not without:
        return []
    unread = _unread(without, {one.labels for one in found})
    if len(without) == len(found):
        return ["no sequence has labels; irdim-train label proposes first ones", *unread]
    names = ", ".join(one.name for one in without[:NAMED]) + (
        f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
    )
    return [f"no labels for {names}, though others have some; their frames are learnt as background", *unread]


def _unread(without: Sequence[Found], read: Collection[Path | None]) -> list[str]:
    """CSV files that lie beside sequences without labels, or in their folders, and may be meant for them."""
    folders = {f.resolve() for one in without for f in (one.path.parent, one.path) if f.is_dir()}
    beside = {p for f in folders for p in f.glob("*.csv")} - {p.resolve() for p in read if p is not None}
    lying = sorted(p for p in beside if p.stem != "times" and not p.stem.endswith(".times"))
    if not lying:
        return []
    more = f" and {number_of(len(lying) - 1, 'other')}" if len(lying) > 1 else ""
    where = "boxes.csv in a recording's folder or NAME.boxes.csv beside it, with the columns"
    return [f"not read: {lying[0]}{more}; labels are taken from {where} {', '.join(COLUMNS)} (docs/data-layouts.md)"]


def _classes(found: Sequence[Found], labels: Mapping[str, Sequence[Label]], given: Mapping[str, str]) -> dict[str, str]:
    """Class of each name, that of our own layouts and that of others by their rules."""
    names: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for one in found:
        names[one.layout in WHY].update(label.box.label for label in labels[one.name])
    everything = names[True] + names[False]
    classes_of(everything, given)  # names the options that are wrong
    return {
        name: label
        for own in (True, False)
        for name, label in classes_of(names[own], {n: c for n, c in given.items() if n in names[own]}, own).items()
    }
