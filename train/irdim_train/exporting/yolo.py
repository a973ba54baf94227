"""YOLO: images/SPLIT/SEQUENCE/000000.png, labels/SPLIT/SEQUENCE/000000.txt and data.yaml."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from irdim.boxes import LABELS
from irdim.dataset import SPLITS
from irdim.dataset import Sequence as Stored
from irdim_train.exporting.labelled import Labelled, frame_name


def image_folder(sequence: Stored) -> str:
    """Where its frames lie."""
    return f"images/{sequence.split}/{sequence.name}"


def write_labels(folder: Path, labelled: Sequence[Labelled]) -> None:
    """Parts of the image with all their digits. A region to ignore is a class of its own, since YOLO has no other way to say it."""
    for one in labelled:
        place = folder / "labels" / one.sequence.split / one.sequence.name
        place.mkdir(parents=True)
        width, height = one.sequence.width, one.sequence.height
        for frame in range(one.sequence.length):
            lines = [
                f"{LABELS.index(b.label)} {b.x / width!r} {b.y / height!r} {b.w / width!r} {b.h / height!r}\n"
                for b in one.boxes.get(frame, ())
            ]
            (place / f"{frame_name(frame)}.txt").write_text("".join(lines))
    present = {one.sequence.split for one in labelled} | {"train", "val"}  # which its readers demand
    for split in present:
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
    value = {split: f"images/{split}" for split in SPLITS if split in present}
    names = dict(enumerate(LABELS))
    (folder / "data.yaml").write_text(yaml.safe_dump({"path": ".", **value, "names": names}, sort_keys=False))
