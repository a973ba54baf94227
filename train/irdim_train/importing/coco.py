"""COCO: one JSON file a split, or one for all. COCO-video: its images name their video and their number in it."""

import mmap
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from irdim.boxes import IGNORE
from irdim.errors import InputError
from irdim_train.importing.found import Found, Options, Reading
from irdim_train.importing.gallery import SPLIT_NAMES, Shot, corners, given, sequences
from irdim_train.importing.labels import Label
from irdim_train.importing.readers import LARGEST_TREE, inside, numbers, read_object

COCO, COCO_VIDEO = "coco", "coco-video"
_FOLDERS = ("", "annotations", *SPLIT_NAMES)


def recognise(path: Path) -> str:
    """What makes a folder, or a JSON file, COCO; empty where nothing does."""
    files = [file for file in _files(path) if not _has(file, "video_id")]
    return f"images and annotations in {_names(path, files)}" if files else ""


def recognise_video(path: Path) -> str:
    """The same for COCO-video."""
    files = [file for file in _files(path) if _has(file, "video_id")]
    return f"images with video_id in {_names(path, files)}" if files else ""


def find(path: Path, options: Options) -> list[Found]:
    """Sequences: videos, or else folders of file names. `iscrowd` and `ignore` make a region to ignore; track ids are not kept."""
    files = _files(path)
    folder = path if path.is_dir() else path.parent.parent if path.parent.name == "annotations" else path.parent
    origin = options.origin or 0
    video = recognise_video(path)
    layout, why = (COCO_VIDEO, video) if video else (COCO, recognise(path))
    template = Found(folder.name, folder, files[0], layout, origin, why, root=folder)
    return sequences([shot for file in files for shot in _shots(file, folder, origin)], template)


def _files(path: Path) -> list[Path]:
    there = [p for name in _FOLDERS for p in sorted((path / name).glob("*.json"))] if path.is_dir() else [path]
    return [p for p in there if p.is_file() and (_is_named_so(p) or (_has(p, "images") and _has(p, "annotations")))]


def _is_named_so(path: Path) -> bool:
    """Whether it can be nothing but COCO, whatever is in it: one that is cut short must not pass for a folder without labels."""
    return path.suffix == ".json" and path.name.startswith("instances")


def _has(path: Path, key: str) -> bool:
    """Whether the part of a file that would be read holds "key", without taking memory for it."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(f'"{key}"'.encode(), 0, LARGEST_TREE) >= 0


def _names(path: Path, files: list[Path]) -> str:
    return ", ".join(str(file.relative_to(path)) if path.is_dir() else file.name for file in files)


def _shots(file: Path, folder: Path, origin: int) -> list[Shot]:
    value = read_object(file)
    if "images" not in value:
        raise InputError(f"{file}: has no list 'images'; it is cut short or no COCO, copy it again or take it out")
    names = {c["id"]: str(c["name"]) for c in _entries(file, value, "categories", "id", "name")}
    videos = {v["id"]: str(v["name"]) for v in _entries(file, value, "videos", "id", "name")}
    labels: dict[Any, list[Label]] = {i["id"]: [] for i in _entries(file, value, "images", "id", "file_name")}
    if len(labels) < len(value["images"]):
        raise InputError(f"{file}: two images have the same id; number them anew")
    for row, annotation in enumerate(_entries(file, value, "annotations", "image_id")):
        if annotation["image_id"] not in labels:
            raise InputError(
                f"{file}, annotation {row}: there is no image {annotation['image_id']}; correct or remove it"
            )
        labels[annotation["image_id"]].append(_label(file, row, annotation, names, origin))
    split = _split(file, folder)
    shots = []
    for image in value["images"]:
        name = str(image["file_name"]).replace("\\", "/")
        video = image.get("video_id")
        if video is not None and video not in videos:
            raise InputError(f"{file}: image {name} is of video {video}, which is not there; correct it")
        shots.append(
            Shot(
                _image(file, folder, name),
                partial(given, Reading(labels[image["id"]])),
                PurePosixPath(name),
                PurePosixPath(videos[video]).name if video is not None else None,
                _whole(file, image, "frame_id"),
                split,
                _size(file, image),
                file,
            )
        )
    return shots


def _label(file: Path, row: int, annotation: Mapping[str, Any], names: Mapping[Any, str], origin: int) -> Label:
    where = f"{file}, annotation {row}"
    x, y, w, h = numbers(annotation.get("bbox") or (), 4, f"{where}, bbox")
    if annotation.get("iscrowd") or annotation.get("ignore"):
        name = IGNORE
    elif annotation.get("category_id") in names:
        name = names[annotation["category_id"]]
    else:
        raise InputError(f"{where}: there is no category {annotation.get('category_id')}; correct or remove it")
    return corners(file, row, "annotation", (x - origin, y - origin, x - origin + w, y - origin + h), name)


def _entries(file: Path, value: Mapping[str, Any], what: str, *keys: str) -> list[dict[str, Any]]:
    """A list of objects that have these keys; ids as numbers or texts."""
    entries = value.get(what, [])
    if not isinstance(entries, list):
        raise InputError(f"{file}: '{what}' must be a list")
    for row, entry in enumerate(entries):
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), int | str) for key in keys):
            raise InputError(f"{file}: entry {row} of '{what}' needs {' and '.join(keys)}; correct it")
        for key in ("category_id", "video_id"):
            if not isinstance(entry.get(key), int | str | None):
                raise InputError(f"{file}: entry {row} of '{what}': its {key} is neither number nor text; correct it")
    return entries


def _image(file: Path, folder: Path, name: str) -> Path:
    split = file.parent.name if file.parent.name in SPLIT_NAMES else file.stem.split("_")[-1]
    places = [folder / "images", folder, folder / "images" / split, folder / split, file.parent]
    tried = [inside(place, name, file) for place in places]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise InputError(f"{file}: its image {name} is neither in {tried[0].parent} nor in {tried[1].parent}; add it")
    return found


def _split(file: Path, folder: Path) -> str | None:
    words = re.findall(r"[a-z]+", str(file.relative_to(folder).with_suffix("")).lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def _whole(file: Path, image: Mapping[str, Any], key: str) -> int | None:
    number = image.get(key)
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise InputError(f"{file}: '{key}' of image {image['file_name']} must be a whole number")
    return number


def _size(file: Path, image: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = _whole(file, image, "height"), _whole(file, image, "width")
    return (height, width) if height and width else None
