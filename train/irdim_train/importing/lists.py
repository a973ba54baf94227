"""Splits that a public layout gives: train.txt, test.txt and the like."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from irdim_train.importing.gallery import SPLIT_NAMES
from irdim_train.importing.readers import read_lines

_FOLDERS = ("", "ImageSets/Main", "ImageSets", "img_idx", "Splits", "splits", "lists")
_WORD = re.compile(rf"(?:^|[_\-.])({'|'.join(SPLIT_NAMES)})(?:[_\-.0-9]|$)")
_FLAG = re.compile(r"\s+-?[01]$")  # Pascal VOC's lists of one class


@dataclass(frozen=True)
class SplitList:
    """A list and what it names: sequences, images of them, or single images, without their suffixes."""

    path: Path
    split: str
    entries: tuple[PurePosixPath, ...]


def lists_in(folder: Path) -> list[SplitList]:
    """The lists in a folder or where its layout keeps them; `trainval` only where there is no `train`."""
    words = {}
    for place in [folder / name for name in _FOLDERS] + sorted(folder.glob("idx*")):
        for path in sorted(place.glob("*.txt")) if place.is_dir() else ():
            if match := _WORD.search(path.stem.lower()):
                words[path] = match.group(1)
    if "train" in words.values():
        words = {path: word for path, word in words.items() if word != "trainval"}
    return [SplitList(path, SPLIT_NAMES[word], tuple(_entries(read_lines(path)))) for path, word in words.items()]


def splits_of(lists: Iterable[SplitList], frames: Mapping[str, Iterable[Path]]) -> dict[str, set[str]]:
    """Splits of each sequence, by name. An entry means a sequence where one of its folders, or all of it, is the sequence's name, or
    where it is the name of a frame that only one sequence has. frames: files of each sequence."""
    owners: dict[str, set[str]] = {}
    for name, files in frames.items():
        for path in files:
            owners.setdefault(path.stem, set()).add(name)
    found: dict[str, set[str]] = {}
    for given in lists:
        for entry in given.entries:
            if owner := _named(entry, frames, owners):
                found.setdefault(owner, set()).add(given.split)
    return found


def _named(entry: PurePosixPath, frames: Mapping[str, Iterable[Path]], owners: dict[str, set[str]]) -> str | None:
    for part in reversed(entry.parts[:-1]):
        if part in frames:
            return part
    for name in (entry.name, _FLAG.sub("", entry.name)):
        if name in frames:
            return name
        if len(of := owners.get(name, set())) == 1:
            return next(iter(of))
    return None


def _entries(lines: Iterable[str]) -> Iterable[PurePosixPath]:
    for line in lines:
        text = line.rstrip("\r").replace("\\", "/")
        if text.strip():
            path = PurePosixPath(text)
            yield path.with_suffix("") if re.fullmatch(r"\.[A-Za-z]{2,4}", path.suffix) else path
