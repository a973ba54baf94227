"""Recordings in irdim's own layouts: sequences with CSV labels, or without any."""

from functools import partial
from pathlib import Path

from irdim.errors import InputError
from irdim.sources import FrameSource, is_sequence, sequence_name
from irdim.sources.images import image_files, natural_key
from irdim_train.importing.found import Found, Options, Reading
from irdim_train.importing.labels import read_labels

DRONE_IR, BOXES_CSV, FRAMES = "drone-ir", "boxes-csv", "frames"
ORIGINS = {DRONE_IR: 1, BOXES_CSV: 0}  # the number of the first pixel, as these layouts define it
WHY = {
    DRONE_IR: "with NAME_LABELS.csv",
    BOXES_CSV: "with boxes.csv",
    FRAMES: "without labels",
}
_SUFFIX = "_LABELS.csv"


def children(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=natural_key)


def is_drone_ir(folder: Path) -> bool:
    return (folder / "clips").is_dir() and (folder / "labels").is_dir() and any((folder / "labels").glob(f"*{_SUFFIX}"))


def with_labels(path: Path, layout: str, options: Options) -> Found:
    """The sequence at `path` with its label file. layout: one of these, or auto. InputError where it is not clear which file that is."""
    found = Found(sequence_name(path), path, why=WHY[FRAMES])
    if layout == FRAMES:
        return found
    files = {DRONE_IR: _drone_ir_labels(path, found.name), BOXES_CSV: _boxes_csv(path, found.name)}
    there = {name: file for name, file in files.items() if file and layout in ("auto", name)}
    if len(there) > 1:
        both = " and ".join(map(str, there.values()))
        raise InputError(f"{path}: two label files ({both}); choose with --format {DRONE_IR} or --format {BOXES_CSV}")
    for kind, file in there.items():
        origin = ORIGINS[kind] if options.origin is None else options.origin
        return Found(found.name, path, file, kind, origin, WHY[kind], read=partial(_read, file, origin))
    if layout != "auto" or (path.parent.name == "clips" and is_drone_ir(path.parent.parent)):
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
    if sum(is_sequence(p) for p in children(shared.parent)) > 1:
        raise InputError(f"{shared}: lies beside several sequences; name it {named.name} if it is that of {name}")
    return shared


def _read(path: Path, origin: int, source: FrameSource) -> Reading:
    return Reading(read_labels(path, origin))
