"""Images with lists of target centres, `x y` a line: a text for each frame, or one of a line for each frame."""

import itertools
from functools import partial
from pathlib import Path

from irdim.boxes import Box
from irdim.errors import InputError
from irdim.sources.images import image_files
from irdim_train.importing import masks
from irdim_train.importing.found import Found, Options, Reading
from irdim_train.importing.gallery import Shot, child, images_below, sequences
from irdim_train.importing.labels import Label
from irdim_train.importing.readers import numbers, read_lines

CENTRES = "centres"
_FOLDERS = ("centres", "centers", "centre", "center", "centroids", "points", "labels", "label", "gt")
LOOKED_AT = (
    200  # texts, one of which has `x y` in its first line: a slip in another is an error then, not another layout
)
_FILES = ("centres.txt", "centers.txt", "centroids.txt", "points.txt")  # a line for each frame


def recognise(folder: Path) -> str:
    """What makes it a folder of images with centre lists; empty where nothing does. Masks, which say more, go before centres."""
    if masks.recognise(folder):
        return ""
    images, lists = _places(folder)
    if images is None or lists is None:
        return ""
    if lists.is_file():
        return f"{lists.name} beside images, a line for each frame"
    return f"texts of `x y` lines in {lists.name}/" if lists != images else "texts of `x y` lines beside the images"


def find(folder: Path, options: Options) -> list[Found]:
    """Sequences with a box of options.centre_size around each centre. Raises InputError where nobody said what the first pixel's number is."""
    images, lists = _places(folder)
    if images is None or lists is None:
        raise InputError(f"{folder}: no images with centre lists here")
    start = options.centres_from
    if start is None:
        raise InputError(
            f"{lists}: is the first pixel of its centres number 0 or 1? Nothing in the files says it; give --centres-from 0 or --centres-from 1"
        )
    size = options.centre_size
    why = f"{recognise(folder) or 'centre lists'}; boxes of {size:g} px around them"
    template = Found(folder.name, folder, lists, CENTRES, start, why, root=folder)
    files = images_below(images)
    if lists.is_file():
        of_frame = _one_line_a_frame(lists, len(files))
        readers = [partial(_read, lists, [line], start, size) for line in of_frame]
    else:
        readers = [partial(_read_file, _list_of(image, images, lists), start, size) for image in files]
    inner = [image.relative_to(images) for image in files]
    places = [place if len(place.parts) > 1 else Path(folder.name) / place for place in inner]
    shots = [Shot(f, read, place, said_by=lists) for f, read, place in zip(files, readers, places, strict=True)]
    return sequences(shots, template)


def has_boxes(path: Path) -> bool:
    """Whether the first line that says something is a YOLO box: five numbers."""
    return _columns(path) == 5


def _places(folder: Path) -> tuple[Path | None, Path | None]:
    """Where images and centre lists are: folders (the same where they lie side by side), or a single list."""
    images = child(folder, masks.IMAGES) or (folder if image_files(folder) else None)
    if images is None:
        return None, None
    if one := next((folder / name for name in _FILES if (folder / name).is_file()), None):
        return images, one
    apart = child(folder, _FOLDERS)
    for place in (apart, images):
        if place and (texts := sorted(place.rglob("*.txt"))):
            names = {image.with_suffix("").relative_to(images) for image in images_below(images)}
            of_images = (text for text in texts if text.with_suffix("").relative_to(place) in names)
            if any(_columns(text) == 2 for text in itertools.islice(of_images, LOOKED_AT)):
                return images, place
    return images, None


def _list_of(image: Path, images: Path, lists: Path) -> Path:
    path = lists / image.relative_to(images).with_suffix(".txt")
    if not path.is_file():
        raise InputError(f"{image}: no centre list {path}; add it (empty: no target) or correct the names")
    return path


def _one_line_a_frame(path: Path, frames: int) -> list[tuple[int, str]]:
    """(row, line) of each frame; an empty line says that there is no target."""
    lines = read_lines(path)
    lines = lines[:-1] if not lines[-1].strip() else lines
    if len(lines) != frames:
        raise InputError(f"{path}: {len(lines)} lines for {frames} frames; one line for each is needed")
    return list(enumerate(lines, 1))


def _read_file(path: Path, start: int, size: float, shape: tuple[int, int]) -> Reading:
    return _read(path, list(enumerate(read_lines(path), 1)), start, size, shape)


def _read(path: Path, lines: list[tuple[int, str]], start: int, size: float, shape: tuple[int, int]) -> Reading:
    """The number of a pixel means its centre: pixel `start` is at 0.5."""
    labels = []
    for row, line in lines:
        if line.strip():
            x, y = numbers(line.replace(",", " ").split(), 2, f"{path}, line {row}")
            labels.append(Label(path, row, 0, Box(x - start + 0.5, y - start + 0.5, size, size), "line"))
    return Reading(labels)


def _columns(path: Path) -> int:
    """How many numbers the first line that says something has; 0 where there is none."""
    with path.open("rb") as file:
        for line in file.read(4096).decode("utf-8-sig", "replace").split("\n"):
            if words := line.replace(",", " ").split():
                try:
                    return len([float(word) for word in words])
                except ValueError:
                    return 0
    return 0
