"""Labelled images, as most tools keep them, made into sequences."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePath

from irdim.boxes import Box
from irdim.errors import InputError
from irdim.sources import FrameSource
from irdim.sources.images import image_files, natural_key
from irdim.sources.opening import PLAIN
from irdim_train.importing.found import Found, Reading
from irdim_train.importing.labels import Label

SPLIT_NAMES = {"train": "train", "trainval": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f]")


@dataclass(frozen=True)
class Shot:
    """A labelled image. read: its labels (frame 0) from the (H, W) of the frame; place: its path within the layout, from which its
    sequence follows unless that is given; order: its number in the sequence, else the natural order of names; size: (H, W), as said."""

    path: Path
    read: Callable[[tuple[int, int]], Reading]
    place: PurePath
    sequence: str | None = None
    order: int | None = None
    split: str | None = None
    size: tuple[int, int] | None = None
    said_by: Path | None = None


def sequences(shots: Iterable[Shot], template: Found) -> list[Found]:
    """The sequences of these images, with what `template` says of them.

    A sequence is what the layout says, or else a folder of images (folders that only say that there are images left out), or else, of
    images without a folder, those whose names are the same up to their last number.
    """
    groups: dict[tuple[str, ...], list[Shot]] = {}
    for shot in shots:
        groups.setdefault((shot.sequence,) if shot.sequence else _key(shot.place, template.path), []).append(shot)
    last = Counter(key[-1] for key in groups)
    found = []
    for key, members in groups.items():
        name = _FORBIDDEN.sub("_", key[-1] if last[key[-1]] == 1 else "_".join(key)).lstrip(".")
        members.sort(key=lambda s: (s.order is None, s.order or 0, natural_key(s.path)))
        for one, two in pairwise(members):
            if one.path == two.path or (one.order is not None and one.order == two.order):
                raise InputError(f"{two.said_by or two.path}: {two.path} is the same frame of '{name}' as {one.path}")
        splits = tuple(sorted({s.split for s in members if s.split}))
        files = tuple(s.path for s in members)
        found.append(replace(template, name=name, files=files, read=partial(_read, members), splits=splits))
    return sorted(found, key=lambda f: natural_key(Path(f.name)))


def images_below(folder: Path, above: frozenset[Path] = frozenset()) -> list[Path]:
    """All images in a folder, at any depth, in natural order. above: folders that a link may not lead back into."""
    above |= {folder.resolve()}
    below = sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=natural_key)
    inner = [image for p in below if p.resolve() not in above for image in images_below(p, above)]
    return image_files(folder) + inner


def child(folder: Path, names: Sequence[str]) -> Path | None:
    """The first folder in `folder` that has one of these names, in any case."""
    there = {p.name.lower(): p for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}
    return next((there[name] for name in names if name in there), None)


def given(reading: Reading, shape: tuple[int, int]) -> Reading:
    """The `read` of an image whose labels are known already."""
    return reading


def corners(path: Path, row: int, unit: str, edges: Sequence[float], name: str) -> Label:
    """A label (of frame 0) from its left, top, right and bottom edge. Raises InputError where it has no size."""
    left, top, right, bottom = edges
    if not (right > left and bottom > top):
        raise InputError(f"{path}, {unit} {row}: a box needs a width and a height above 0; correct or remove it")
    box = Box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, name)
    return Label(path, row, 0, box, unit)


def _key(place: PurePath, root: Path) -> tuple[str, ...]:
    folders = place.parts[:-1]
    while len(folders) > 1 and folders[-1].lower() in PLAIN:
        folders = folders[:-1]
    while len(folders) > 1 and folders[0].lower() in (*PLAIN, *SPLIT_NAMES):
        folders = folders[1:]
    if folders:
        return folders
    prefix = re.sub(r"[0-9]+[^0-9]*$", "", place.stem).rstrip("_-. ")
    return (prefix or (root.name if root.is_dir() else root.parent.name) or "images",)


def _read(shots: Sequence[Shot], source: FrameSource) -> Reading:
    """The labels of all frames; a note that several files share is given once."""
    labels: list[Label] = []
    noted: dict[str, list[Path]] = {}
    for frame, shot in enumerate(shots):
        if shot.size and shot.size != source.shape:
            (h, w), (height, width) = shot.size, source.shape
            raise InputError(
                f"{shot.said_by}: says that {shot.path.name} is {w}x{h}, but it is {width}x{height}; give the labels of these frames"
            )
        reading = shot.read(source.shape)
        labels += [replace(label, frame=frame) for label in reading.labels]
        for note in reading.notes:
            noted.setdefault(note, []).append(shot.path)
    return Reading(labels, tuple(f"{len(of)} of {len(shots)} frames ({of[0].name}): {n}" for n, of in noted.items()))
