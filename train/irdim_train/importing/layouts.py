"""Where sequences and their label files lie."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from irdim.dataset.schema import FILE
from irdim.errors import InputError
from irdim.sources import is_sequence, sequence_name
from irdim.sources.images import image_files, natural_key

DRONE_IR, BOXES_CSV, FRAMES = "drone-ir", "boxes-csv", "frames"
FORMATS = ("auto", DRONE_IR, BOXES_CSV, FRAMES)
ORIGINS = {DRONE_IR: 1, BOXES_CSV: 0}  # the number of the first pixel, as these layouts define it
_SUFFIX = "_LABELS.csv"


@dataclass(frozen=True)
class Found:
    """A sequence to import: its name, where its frames are, its label file, and how that is to be read."""

    name: str
    path: Path
    labels: Path | None = None
    layout: str = FRAMES
    origin: int | None = None


def find_sequences(sources: Iterable[Path], layout: str = "auto", origin: int | None = None) -> list[Found]:
    """The sequences in `sources` (each a sequence, or a folder of them at any depth), in natural order.

    Layouts: drone-ir is `clips/NAME.*` with `labels/NAME_LABELS.csv` (or that file beside the clip), 1-based; boxes-csv
    is `boxes.csv` in the sequence's folder, or `NAME.boxes.csv` beside it, or `boxes.csv` beside the only sequence of a
    folder, 0-based; frames has no labels.
    Raises InputError where there is none, and where the layout is not clear.
    """
    if layout not in FORMATS:
        raise InputError(f"--format {layout}: choose one of {', '.join(FORMATS)}")
    if origin not in (None, 0, 1):
        raise InputError(f"--origin {origin}: 0 where the first pixel is 0, 1 where it is 1")
    found: dict[str, Found] = {}
    for source in sources:
        paths = _sequences_in(Path(source))
        if not paths:
            raise InputError(
                f"{source}: no sequence in this folder; give image folders, videos, .npy stacks or raw frames"
            )
        for path in paths:
            one = _with_labels(path, layout, origin)
            if one.name in found and found[one.name].path.resolve() != path.resolve():
                raise InputError(
                    f"{path}: a second sequence named '{one.name}' (the first is {found[one.name].path}); rename one"
                )
            found[one.name] = one
    return list(found.values())


def _sequences_in(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        return [path]
    if (path / FILE).exists():
        raise InputError(f"{path}: a data set already; give the folder of the recordings")
    return _walk(path, set())


def _walk(folder: Path, seen: set[Path]) -> list[Path]:
    if folder.resolve() in seen or (folder / FILE).exists():  # a loop of links; a data set among the recordings
        return []
    seen.add(folder.resolve())
    if _is_drone_ir(folder):
        return _walk(folder / "clips", seen)
    if is_sequence(folder):
        if other := next((p for p in _children(folder) if is_sequence(p) and p.name != "frames.npy"), None):
            raise InputError(
                f"{folder}: a sequence that holds another one ({other.name}); give the sequences one by one"
            )
        return [folder]
    return [s for p in _children(folder) for s in (_walk(p, seen) if p.is_dir() else [p] if is_sequence(p) else [])]


def _children(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=natural_key)


def _is_drone_ir(folder: Path) -> bool:
    return (folder / "clips").is_dir() and (folder / "labels").is_dir() and any((folder / "labels").glob(f"*{_SUFFIX}"))


def _with_labels(path: Path, layout: str, origin: int | None) -> Found:
    found = Found(sequence_name(path), path)
    if layout == FRAMES:
        return found
    files = {DRONE_IR: _drone_ir_labels(path, found.name), BOXES_CSV: _boxes_csv(path, found.name)}
    there = [name for name, file in files.items() if file and (layout in ("auto", name))]
    if len(there) > 1:
        both = " and ".join(str(files[name]) for name in there)
        raise InputError(f"{path}: two label files ({both}); choose with --format {DRONE_IR} or --format {BOXES_CSV}")
    if there:
        kind = there[0]
        return dataclasses.replace(
            found, labels=files[kind], layout=kind, origin=ORIGINS[kind] if origin is None else origin
        )
    if layout != "auto" or (path.parent.name == "clips" and _is_drone_ir(path.parent.parent)):
        missing = f"{found.name}{_SUFFIX}" if layout in ("auto", DRONE_IR) else "boxes.csv"
        raise InputError(
            f"{path}: its label file {missing} is not there; add it, or import without labels by --format {FRAMES}"
        )
    return found


def _drone_ir_labels(path: Path, name: str) -> Path | None:
    beside = path.with_name(f"{name}{_SUFFIX}")
    apart = path.parent.parent / "labels" / f"{name}{_SUFFIX}" if path.parent.name == "clips" else beside
    return next((file for file in (apart, beside) if file.is_file()), None)


def _boxes_csv(path: Path, name: str) -> Path | None:
    inside = path / "boxes.csv" if path.is_dir() else path.with_name("boxes.csv") if path.name == "frames.npy" else None
    named = path.with_name(f"{path.name if path.is_dir() else path.stem}.boxes.csv")
    for file in (inside, named):
        if file and file.is_file():
            return file
    shared = path.absolute().with_name("boxes.csv")
    if not shared.is_file() or image_files(shared.parent):
        return None
    if sum(is_sequence(p) for p in _children(shared.parent)) > 1:
        raise InputError(f"{shared}: lies beside several sequences; name it {named.name} if it is that of {name}")
    return shared
