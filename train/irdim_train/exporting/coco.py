"""COCO-video: annotations/instances_SPLIT.json and images/SEQUENCE/000000.png. Plain COCO readers take it as COCO."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from irdim.boxes import IGNORE, LABELS
from irdim.dataset import SPLITS
from irdim.dataset import Sequence as Stored
from irdim.files import write_json
from irdim_train.exporting.labelled import Labelled, edges, frame_name

_CATEGORIES = [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(LABELS, 1)]


def image_folder(sequence: Stored) -> str:
    """Where its frames lie."""
    return f"images/{sequence.name}"


def write_labels(folder: Path, labelled: Sequence[Labelled]) -> None:
    """One file for each split that has sequences. Regions to ignore are `iscrowd`."""
    (folder / "annotations").mkdir()
    for split in SPLITS:
        if of_split := [one for one in labelled if one.sequence.split == split]:
            write_json(folder / "annotations" / f"instances_{split}.json", _value(of_split))


def _value(labelled: Sequence[Labelled]) -> dict[str, Any]:
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video, one in enumerate(labelled, 1):
        sequence = one.sequence
        videos.append({"id": video, "name": sequence.name, "width": sequence.width, "height": sequence.height})
        for frame in range(sequence.length):
            image = len(images) + 1
            images.append(
                {
                    "id": image,
                    "file_name": f"{sequence.name}/{frame_name(frame)}.png",
                    "width": sequence.width,
                    "height": sequence.height,
                    "video_id": video,
                    "frame_id": frame,
                }
            )
            for box in one.boxes.get(frame, ()):
                left, top, _, _ = edges(box)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": LABELS.index(box.label) + 1,
                        "bbox": [left, top, box.w, box.h],
                        "area": box.w * box.h,
                        "iscrowd": int(box.label == IGNORE),
                    }
                )
    return {"videos": videos, "images": images, "annotations": annotations, "categories": _CATEGORIES}
