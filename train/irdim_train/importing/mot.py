"""MOT Challenge: SEQ/img1, SEQ/gt/gt.txt and SEQ/seqinfo.ini; frames and pixels are counted from 1."""

import configparser
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from irdim.boxes import IGNORE, TARGET
from irdim.errors import InputError
from irdim.sources import FrameSource
from irdim_train.importing.found import Found, Options, Reading
from irdim_train.importing.gallery import child, corners, images_below
from irdim_train.importing.labels import Label
from irdim_train.importing.masks import IMAGES
from irdim_train.importing.readers import inside, numbers, read_lines

MOT = "mot"
_ORIGIN = 1


@dataclass(frozen=True)
class _Images:
    """Of a sequence. of_frame: index in `files` by the number that rows have; notes: what is to be said of these numbers."""

    files: tuple[Path, ...]
    of_frame: dict[int, int]
    notes: tuple[str, ...]


def recognise(folder: Path) -> str:
    """What makes it a sequence of MOT; empty where nothing does."""
    if (folder / "gt" / "gt.txt").is_file():
        return "gt/gt.txt beside the images"
    return "seqinfo.ini beside the images" if (folder / "seqinfo.ini").is_file() else ""


def find(folder: Path, options: Options) -> list[Found]:
    """One sequence. A row of confidence 0 is a region to ignore; track ids are not kept."""
    truth, info = folder / "gt" / "gt.txt", _info(folder / "seqinfo.ini")
    if not truth.is_file():
        raise InputError(f"{folder}: no gt/gt.txt; a test sequence without labels is imported by --format frames")
    images = (
        inside(folder, info["imdir"], folder / "seqinfo.ini") if "imdir" in info else child(folder, ("img1", *IMAGES))
    )
    if not images or not images.is_dir() or not (files := images_below(images)):
        raise InputError(f"{folder}: no images in img1/; add the frames of gt/gt.txt")
    interval = None
    if "framerate" in info:
        (rate,) = numbers([info["framerate"]], 1, f"{folder / 'seqinfo.ini'}, frameRate")
        interval = 1 / rate if rate > 0 else None
    origin = _ORIGIN if options.origin is None else options.origin
    names = _names(folder / "gt" / "labels.txt")
    read = partial(_read, truth, origin, names, _images(files))
    return [
        Found(
            *(folder.name, images, truth, MOT, origin, recognise(folder), tuple(files), read),
            root=folder,
            interval=interval,
        )
    ]


def _info(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string("\n".join(read_lines(path)))
        return dict(parser["Sequence"])
    except (configparser.Error, KeyError) as error:
        raise InputError(f"{path}: not a readable seqinfo.ini ({' '.join(str(error).split())}); correct it") from None


def _names(path: Path) -> dict[int, str]:
    """Class names by number from 1, as CVAT writes them beside gt.txt."""
    return dict(enumerate((line.strip() for line in read_lines(path) if line.strip()), 1)) if path.is_file() else {}


def _images(files: Sequence[Path]) -> _Images:
    """Frame numbers are those in the images' names, of which some may be missing; but not where these begin elsewhere than at 0 or 1, as those of a part of a
    recording do, or times."""
    numbers = [int(runs[-1]) for file in files if (runs := re.findall(r"[0-9]+", file.stem))]
    if len(set(numbers)) < len(files) or min(numbers, default=0) > 1:
        numbers = list(range(1, len(files) + 1))
        note = f"the names of the images do not number them; taken in their order, frame 1 is {files[0].name}"
    elif 0 in numbers:
        note = f"the images are numbered from 0, so frame 1 is {files[numbers.index(0)].name}"
        numbers = [number + 1 for number in numbers]
    else:
        note = ""
    return _Images(tuple(files), {number: index for index, number in enumerate(numbers)}, (note,) if note else ())


def _read(path: Path, origin: int, names: dict[int, str], images: _Images, source: FrameSource) -> Reading:
    """Rows: frame, id, left, top, width, height, confidence, class, ...; the last two may be missing or -1."""
    labels: list[Label] = []
    for row, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        frame, _, x, y, w, h = numbers(cells[:6], 6, f"{path}, row {row}")
        confidence, kind = numbers([*cells[6:8], "-1", "-1"][:2], 2, f"{path}, row {row}")
        if frame != int(frame) or frame < 1:
            raise InputError(f"{path}, row {row}: frame {frame:g}; MOT counts frames from 1, correct or remove the row")
        if (index := images.of_frame.get(int(frame))) is None:
            raise InputError(
                f"{path}, row {row}: there is no image of frame {int(frame)} in {images.files[0].parent} "
                f"({images.files[0].name} to {images.files[-1].name}); add it, or correct or remove the row"
            )
        name = names.get(int(kind), f"{kind:g}") if kind >= 0 else TARGET
        left, top = x - origin, y - origin
        label = corners(path, row, "row", (left, top, left + w, top + h), IGNORE if confidence == 0 else name)
        labels.append(Label(path, row, index, label.box))
    return Reading(labels, images.notes)
