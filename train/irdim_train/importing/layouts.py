"""Which layout a folder has, and the sequences in it."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from irdim.dataset.schema import FILE
from irdim.errors import InputError
from irdim.sources import is_sequence
from irdim_train.importing import centres, coco, cvat, masks, mot, voc, yolo
from irdim_train.importing.found import Found, Options
from irdim_train.importing.gallery import SPLIT_NAMES
from irdim_train.importing.lists import SplitList, lists_in, splits_of
from irdim_train.importing.recordings import BOXES_CSV, DRONE_IR, FRAMES, children, is_drone_ir, with_labels


@dataclass(frozen=True)
class Layout:
    """A layout of other tools. needs: what it has; recognise(path): by what it is known, or empty; find(path, options): its sequences;
    counts: whether its labels number pixels, so that --origin has a meaning."""

    needs: str
    recognise: Callable[[Path], str]
    find: Callable[[Path, Options], list[Found]]
    counts: bool = True


FOREIGN = {
    coco.COCO: Layout("a JSON file with images and annotations", coco.recognise, coco.find),
    coco.COCO_VIDEO: Layout("COCO whose images have video_id", coco.recognise_video, coco.find),
    yolo.YOLO: Layout("data.yaml, or images/ and labels/ with `class x y w h` lines", yolo.recognise, yolo.find, False),
    voc.VOC: Layout("images and an XML file for each", voc.recognise, voc.find),
    cvat.CVAT: Layout("annotations.xml of 'CVAT for images 1.1'", cvat.recognise, cvat.find),
    mot.MOT: Layout("img1/ and gt/gt.txt", mot.recognise, mot.find),
    masks.STILLS: Layout("images/ and masks/ of single images", masks.recognise_stills, masks.find_stills, False),
    masks.MASKS: Layout("images/ and masks/ of sequences", masks.recognise, masks.find, False),
    centres.CENTRES: Layout("images and texts of `x y` lines", centres.recognise, centres.find, False),
}
OWN = (DRONE_IR, BOXES_CSV, FRAMES)
FORMATS = ("auto", *OWN, *FOREIGN)
_OF_FILES = {  # layouts that one file of labels stands for
    ".json": (coco.COCO, coco.COCO_VIDEO),
    ".yaml": (yolo.YOLO,),
    ".yml": (yolo.YOLO,),
    ".xml": (cvat.CVAT,),
}
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


def find_sequences(
    sources: Iterable[Path], layout: str = "auto", origin: int | None = None, options: Options | None = None
) -> list[Found]:
    """The sequences in `sources` (each a sequence, a label file of a whole set, or a folder of them at any depth), in natural order.

    Our own layouts: drone-ir is `clips/NAME.*` with `labels/NAME_LABELS.csv` (or that file beside the clip), 1-based; boxes-csv
    is `boxes.csv` in the sequence's folder, or `NAME.boxes.csv` beside it, or `boxes.csv` beside the only sequence of a
    folder, 0-based; frames has no labels. Those of other tools: FOREIGN. origin: short for Options(origin).
    Raises InputError where there is none, and where the layout is not clear.
    """
    options = options or Options(origin)
    if layout not in FORMATS:
        raise InputError(f"--format {layout}: choose one of {', '.join(FORMATS)}")
    if options.origin not in (None, 0, 1):
        raise InputError(f"--origin {options.origin}: 0 where the first pixel is 0, 1 where it is 1")
    if options.centres_from not in (None, 0, 1):
        raise InputError(f"--centres-from {options.centres_from}: 0 where the first pixel is 0, 1 where it is 1")
    if not 0 < options.centre_size < 1e4:
        raise InputError(f"--centre-size {options.centre_size}: give the side of the boxes around centres, px")
    found: list[Found] = []
    for source in sources:
        of_source = _find(Path(source), layout, options)
        if not of_source:
            needs = f" in the layout {layout} ({FOREIGN[layout].needs})" if layout in FOREIGN else ""
            raise InputError(
                f"{source}: no sequence{needs} in this folder; give image folders, videos, .npy stacks or raw frames"
            )
        odd = next((one.layout for one in of_source if one.layout in FOREIGN and not FOREIGN[one.layout].counts), None)
        if options.origin is not None and odd:
            raise InputError(
                f"--origin {options.origin}: the labels of {source} ({odd}) have no first pixel; leave it out"
            )
        found += _with_splits(Path(source), of_source)
    if options.centres_from is not None and not any(one.layout == centres.CENTRES for one in found):
        kinds = ", ".join(sorted({one.layout for one in found}))
        raise InputError(
            f"--centres-from: no centre lists here (recognised: {kinds}); leave it out, or look at the texts"
        )
    return _named_once(found)


def _find(path: Path, layout: str, options: Options) -> list[Found]:
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        if path.suffix.lower() in _ARCHIVES:
            raise InputError(f"{path}: an archive; unpack it and give the folder")
        return _foreign(path, layout, options) or [with_labels(path, _own(path, layout), options)]
    if (path / FILE).exists():
        raise InputError(f"{path}: a data set already; give the folder of the recordings")
    return _walk(path, layout, options, set())


def _walk(folder: Path, layout: str, options: Options, seen: set[Path]) -> list[Found]:
    if folder.resolve() in seen or (folder / FILE).exists():  # a loop of links; a data set among the recordings
        return []
    seen.add(folder.resolve())
    if is_drone_ir(folder) and layout not in FOREIGN:
        return _walk(folder / "clips", layout, options, seen)
    if foreign := _foreign(folder, layout, options):
        return foreign
    if layout not in FOREIGN and is_sequence(folder):
        if other := next((p for p in children(folder) if is_sequence(p) and p.name != "frames.npy"), None):
            raise InputError(
                f"{folder}: a sequence that holds another one ({other.name}); give the sequences one by one"
            )
        return [with_labels(folder, layout, options)]
    found = []
    for path in children(folder):
        if path.is_dir():
            found += _walk(path, layout, options, seen)
        elif layout not in FOREIGN and is_sequence(path):
            found.append(with_labels(path, layout, options))
    return found


def _foreign(path: Path, layout: str, options: Options) -> list[Found]:
    """The sequences of a layout of another tool, where `path` is in one. Raises InputError where it might be in two."""
    if layout in OWN:
        return []
    if layout == masks.STILLS and masks.recognise(path):  # asked for, so that nothing else need say it
        return masks.find_stills(path, options)
    possible = FOREIGN if path.is_dir() else _OF_FILES.get(path.suffix, ())
    names = [name for name in possible if layout in ("auto", name) and FOREIGN[name].recognise(path)]
    if masks.STILLS in names and masks.MASKS in names:
        names.remove(masks.MASKS)
    if len(names) > 1:
        there = " and ".join(f"{name} ({FOREIGN[name].recognise(path)})" for name in names)
        raise InputError(f"{path}: may be {there}; choose with --format {' or '.join(names)}")
    return FOREIGN[names[0]].find(path, options) if names else []


def _own(path: Path, layout: str) -> str:
    if layout in FOREIGN:
        raise InputError(f"{path}: not in the layout {layout} ({FOREIGN[layout].needs}); give its folder")
    return layout


def _with_splits(source: Path, found: list[Found]) -> list[Found]:
    """With the splits that folders (train, val, test) or lists of the foreign layouts give."""
    given: dict[Path, list[SplitList]] = {}
    groups: dict[Path, list[Found]] = {}
    for one in found:
        if one.root and not one.splits:
            groups.setdefault(_root_of_lists(source, one.root, given), []).append(one)
    splits: dict[str, tuple[str, ...]] = {}
    for root, members in groups.items():
        listed = splits_of(given[root], {one.name: one.files for one in members})
        splits |= {name: tuple(sorted(of)) for name, of in listed.items()}
    return [
        dataclasses.replace(one, splits=one.splits or splits.get(one.name, ()) or _split_by_folder(source, one.root))
        if one.root
        else one
        for one in found
    ]


def _root_of_lists(source: Path, root: Path, given: dict[Path, list[SplitList]]) -> Path:
    """The nearest folder from `root` up to `source` that has lists; `source` where none has. Fills `given`."""
    while True:
        if root.is_dir() and root not in given:
            given[root] = lists_in(root)
        if given.get(root) or root == source or source not in root.parents:
            given.setdefault(root, [])
            return root
        root = root.parent


def _split_by_folder(source: Path, root: Path) -> tuple[str, ...]:
    parts = root.relative_to(source).parts if root.is_relative_to(source) else ()
    return next(((SPLIT_NAMES[part.lower()],) for part in parts if part.lower() in SPLIT_NAMES), ())


def _named_once(found: list[Found]) -> list[Found]:
    """One sequence a name. What several foreign folders call alike takes the folder's name in front; else InputError."""
    times = Counter(one.name for one in found)
    named: dict[str, Found] = {}
    for one in found:
        if times[one.name] > 1 and one.root and one.root.name != one.name:
            one = dataclasses.replace(one, name=f"{one.root.name}_{one.name}")
        other = named.get(one.name)
        if other and (one.files, one.path.resolve()) != (other.files, other.path.resolve()):
            raise InputError(
                f"{one.path}: a second sequence named '{one.name}' (the first is {other.path}); rename one"
            )
        named[one.name] = one
    return list(named.values())
