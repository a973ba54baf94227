"""Pascal VOC: an XML file for each image."""

from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

from irdim.boxes import IGNORE
from irdim.errors import InputError
from irdim.sources.images import image_files, natural_key
from irdim_train.importing.found import Found, Options, Reading
from irdim_train.importing.gallery import Shot, child, corners, images_below, sequences
from irdim_train.importing.labels import Label
from irdim_train.importing.readers import begins_with, iterate_xml, numbers

VOC = "voc"
MADE_BY = "irdim"  # <source><annotation>: a file that surely counts from 1, also where a box reaches out of the frame
_IMAGES = ("jpegimages", "pngimages", "images", "image", "imgs", "img", "frames")
_XML = ("annotations", "annotation", "bbox", "labels", "xml")
_ORIGIN = 1  # VOC counts pixels from 1, and its last row and column belong to the box


def recognise(folder: Path) -> str:
    """What makes it Pascal VOC; empty where nothing does."""
    images, xml = _places(folder)
    if images is None or xml is None:
        return ""
    return f"an XML file for each image, in {xml.name}/" if xml != images else "an XML file beside each image"


def find(folder: Path, options: Options) -> list[Found]:
    """Sequences: folders of images, or images of one name. `difficult` makes a region to ignore.

    --origin 1, VOC's own: numbers of the first and last pixel of the box, from 1. --origin 0: its edges, from 0, as many tools write them.
    """
    images, xml = _places(folder)
    if images is None or xml is None:
        raise InputError(f"{folder}: no images with an XML file each here")
    origin = _ORIGIN if options.origin is None else options.origin
    template = Found(folder.name, folder, xml, VOC, origin, recognise(folder), root=folder)
    files = {image.relative_to(images).with_suffix(""): image for image in images_below(images)}
    written = {path.relative_to(xml).with_suffix("") for path in xml.rglob("*.xml")}
    if left := sorted(written - files.keys(), key=natural_key):
        raise InputError(
            f"{xml / left[0]}.xml: there is no image of that name in {images}; add it or take the file out"
        )
    shots = []
    for place, image in files.items():
        path = (xml / place).with_name(place.name + ".xml")
        shots.append(Shot(image, partial(_read, path, origin), image.relative_to(images), said_by=path))
    return sequences(shots, template)


def _places(folder: Path) -> tuple[Path | None, Path | None]:
    images = child(folder, _IMAGES) or (folder if image_files(folder) else None)
    for place in (child(folder, _XML), images):
        if place and (first := next(iter(sorted(place.rglob("*.xml"))), None)) and begins_with(first, "annotation>"):
            return images, place
    return images, None


def _read(path: Path, origin: int, shape: tuple[int, int]) -> Reading:
    if not path.is_file():
        return Reading([], ("no XML file, taken as a frame without targets",))
    labels: list[Label] = []
    ours, first = False, ""
    for element in iterate_xml(path, "object", "size", "source"):
        if element.tag == "source":
            ours = element.findtext("annotation") == MADE_BY
        elif element.tag == "size":
            _check_size(path, element, shape)
        else:
            row = len(labels) + 1
            edges = _edges(path, row, element)
            first = first or (f"{path}, object {row}" if origin == 1 and 0 in edges[:2] else "")
            name = IGNORE if (element.findtext("difficult") or "0").strip() == "1" else (element.findtext("name") or "")
            if not name.strip():
                raise InputError(f"{path}, object {row}: no name; correct or remove it")
            left, top, right, bottom = edges
            shifted = (left - origin, top - origin, right, bottom)
            labels.append(corners(path, row, "object", shifted, name.strip()))
    if first and not ours:
        raise InputError(
            f"{first}: a box begins at 0, but VOC counts pixels from 1; if its boxes are edges from 0, give --origin 0"
        )
    return Reading(labels)


def _edges(path: Path, row: int, element: Element) -> list[float]:
    box = element.find("bndbox")
    texts = [box.findtext(tag) for tag in ("xmin", "ymin", "xmax", "ymax")] if box is not None else []
    return numbers(texts, 4, f"{path}, object {row}, bndbox")


def _check_size(path: Path, element: Element, shape: tuple[int, int]) -> None:
    width, height = numbers([element.findtext("width") or 0, element.findtext("height") or 0], 2, f"{path}, size")
    if width and height and (height, width) != shape:  # some tools write 0 where they do not know
        raise InputError(
            f"{path}: says {width:g}x{height:g}, but its image is {shape[1]}x{shape[0]}; give the labels of these frames"
        )
