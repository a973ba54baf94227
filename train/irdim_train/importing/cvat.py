"""CVAT for images 1.1: one annotations.xml for all images."""

from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from irdim.errors import InputError
from irdim_train.importing.found import Found, Options, Reading
from irdim_train.importing.gallery import SPLIT_NAMES, Shot, corners, given, sequences
from irdim_train.importing.readers import begins_with, inside, iterate_xml, numbers

CVAT = "cvat"
_SHAPES = ("polygon", "polyline", "points", "mask", "cuboid", "ellipse", "skeleton")


def recognise(path: Path) -> str:
    """What makes a folder, or an XML file, an export of CVAT; empty where nothing does."""
    file = _file(path)
    return f"{file.name} of CVAT" if file else ""


def find(path: Path, options: Options) -> list[Found]:
    """Sequences: folders of the image names. Subsets are splits; a box of the label `ignore` is a region to ignore."""
    file = _file(path)
    if file is None:
        raise InputError(f"{path}: no annotations.xml of CVAT here")
    folder, origin = file.parent, options.origin or 0
    template = Found(folder.name, folder, file, CVAT, origin, recognise(path), root=folder)
    shots: list[Shot] = []
    for element in iterate_xml(file, "image", "track"):
        if element.tag == "track":
            raise InputError(f"{file}: 'CVAT for video'; export the task as 'CVAT for images 1.1'")
        shots.append(_shot(file, element, origin, len(shots)))
    if not shots:
        raise InputError(f"{file}: names no image; export the task with its images")
    return sequences(shots, template)


def _file(path: Path) -> Path | None:
    file = path / "annotations.xml" if path.is_dir() else path
    return file if file.is_file() and file.suffix == ".xml" and begins_with(file, "annotations>") else None


def _shot(file: Path, element: Element, origin: int, index: int) -> Shot:
    name = element.get("name") or ""
    if other := next((child.tag for child in element if child.tag in _SHAPES), None):
        raise InputError(f"{file}, image {name}: a {other}; only boxes are read, make it a box")
    labels = []
    for row, box in enumerate(element.findall("box"), 1):
        where = f"image {name}, box"
        texts = [box.get(key) for key in ("xtl", "ytl", "xbr", "ybr")]
        edges = [edge - origin for edge in numbers(texts, 4, f"{file}, {where} {row}")]
        if not box.get("label"):
            raise InputError(f"{file}, {where} {row}: no label; correct or remove it")
        labels.append(corners(file, row, where, edges, str(box.get("label"))))
    subset = element.get("subset") or ""
    size = numbers([element.get("height") or 0, element.get("width") or 0], 2, f"{file}, image {name}, size")
    return Shot(
        _image(file, name, subset),
        partial(given, Reading(labels)),
        PurePosixPath(name),
        split=SPLIT_NAMES.get(subset.lower()),
        size=(int(size[0]), int(size[1])) if all(size) else None,
        said_by=file,
    )


def _image(file: Path, name: str, subset: str) -> Path:
    folder = file.parent
    places = [folder / "images" / subset, folder / "images", folder]
    tried = [inside(place, name, file) for place in places]
    found = next((path for path in tried if name and path.is_file()), None)
    if found is None:
        raise InputError(
            f"{file}: its image '{name}' is not there in {folder / 'images'}; save the images with the export"
        )
    return found
