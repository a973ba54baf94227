"""Pascal VOC: JPEGImages/SEQUENCE/000000.png (PNG, whatever the folder's name), Annotations/SEQUENCE/000000.xml, ImageSets/Main/SPLIT.txt."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from irdim.boxes import IGNORE, Box
from irdim.dataset import SPLITS
from irdim.dataset import Sequence as Stored
from irdim_train.exporting.labelled import Labelled, edges, frame_name, text_of
from irdim_train.importing.voc import MADE_BY


def image_folder(sequence: Stored) -> str:
    """Where its frames lie."""
    return f"JPEGImages/{sequence.name}"


def write_labels(folder: Path, labelled: Sequence[Labelled]) -> None:
    """Pixels counted from 1, the last one included, with fractions where there are any. Regions to ignore are `difficult`."""
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split in SPLITS:
        of_split = [one.sequence for one in labelled if one.sequence.split == split]
        lines = [f"{sequence.name}/{frame_name(frame)}\n" for sequence in of_split for frame in range(sequence.length)]
        if lines:
            (lists / f"{split}.txt").write_text("".join(lines), "utf-8")
    for one in labelled:
        place = folder / "Annotations" / one.sequence.name
        place.mkdir(parents=True)
        for frame in range(one.sequence.length):
            tree = _annotation(one.sequence, frame, one.boxes.get(frame, ()))
            ElementTree(tree).write(place / f"{frame_name(frame)}.xml", "utf-8")


def _annotation(sequence: Stored, frame: int, boxes: Sequence[Box]) -> Element:
    root = Element("annotation")
    SubElement(root, "folder").text = sequence.name
    SubElement(root, "filename").text = f"{frame_name(frame)}.png"
    SubElement(SubElement(root, "source"), "annotation").text = MADE_BY
    _fill(SubElement(root, "size"), width=sequence.width, height=sequence.height, depth=1)
    SubElement(root, "segmented").text = "0"
    for box in boxes:
        left, top, right, bottom = edges(box)
        element = SubElement(root, "object")
        SubElement(element, "name").text = box.label
        _fill(element, pose="Unspecified", truncated=0, difficult=int(box.label == IGNORE))
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
        _fill(SubElement(element, "bndbox"), **{tag: text_of(value) for tag, value in corners.items()})
    indent(root)
    return root


def _fill(element: Element, **values: object) -> None:
    for tag, value in values.items():
        SubElement(element, tag).text = str(value)
