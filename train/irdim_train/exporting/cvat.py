"""CVAT for images 1.1: annotations.xml and images/SEQUENCE/000000.png."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from irdim.boxes import LABELS
from irdim.dataset import Sequence as Stored
from irdim_train.exporting.labelled import Labelled, edges, frame_name, text_of


def image_folder(sequence: Stored) -> str:
    """Where its frames lie."""
    return f"images/{sequence.name}"


def write_labels(folder: Path, labelled: Sequence[Labelled]) -> None:
    """Edges from 0 with all their digits; splits are subsets."""
    with (folder / "annotations.xml").open("w", encoding="utf-8") as file:
        xml = XMLGenerator(file, "utf-8")
        xml.startDocument()
        _start(xml, "annotations")
        _write_text(xml, "version", "1.1")
        _write_meta(xml, sum(one.sequence.length for one in labelled))
        image = 0
        for one in labelled:
            for frame in range(one.sequence.length):
                _write_image(xml, one, frame, image)
                image += 1
        xml.endElement("annotations")
        xml.endDocument()


def _write_image(xml: XMLGenerator, one: Labelled, frame: int, number: int) -> None:
    sequence = one.sequence
    name = f"{sequence.name}/{frame_name(frame)}.png"
    size = {"width": str(sequence.width), "height": str(sequence.height)}
    _start(xml, "image", id=str(number), name=name, subset=sequence.split, **size)
    for box in one.boxes.get(frame, ()):
        values = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(text_of, edges(box)), strict=True))
        _start(xml, "box", label=box.label, source="manual", occluded="0", **values, z_order="0")
        xml.endElement("box")
    xml.endElement("image")
    xml.ignorableWhitespace("\n")


def _write_meta(xml: XMLGenerator, length: int) -> None:
    for tag in ("meta", "task"):
        _start(xml, tag)
    _write_text(xml, "size", str(length))
    _start(xml, "labels")
    for label in LABELS:
        _start(xml, "label")
        _write_text(xml, "name", label)
        xml.endElement("label")
    for tag in ("labels", "task", "meta"):
        xml.endElement(tag)
    xml.ignorableWhitespace("\n")


def _write_text(xml: XMLGenerator, tag: str, text: str) -> None:
    _start(xml, tag)
    xml.characters(text)
    xml.endElement(tag)


def _start(xml: XMLGenerator, tag: str, **attributes: str) -> None:
    xml.startElement(tag, AttributesImpl(attributes))
