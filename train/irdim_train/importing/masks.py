"""Images with masks: NUDT-MIRSDT (SEQ/images, SEQ/masks), IRDST (images/SEQ, masks/SEQ), SIRST and IRSTD-1K (images, masks, each its own scene)."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from irdim.boxes import Box
from irdim.errors import InputError
from irdim.sources.images import image_files, natural_key, read_image
from irdim_train.importing.found import Found, Options, Reading
from irdim_train.importing.gallery import SPLIT_NAMES, Shot, child, images_below, sequences
from irdim_train.importing.labels import Label
from irdim_train.importing.lists import lists_in

MASKS, STILLS = "masks", "stills"
IMAGES = ("images", "image", "imgs", "img", "frames", "pngimages", "irstd1k_img")
_MASKS = ("masks", "mask", "irstd1k_label", "labels", "label", "gt")
_MOST = 10_000  # areas of one mask
_ENDINGS = ("", "_pixels0", "_mask", "_gt", "_label")  # SIRST: Misc_1_pixels0.png is the mask of Misc_1.png


def recognise(folder: Path) -> str:
    """What makes it a folder of images and masks; empty where it is none."""
    images, masks = child(folder, IMAGES), _masks(folder)
    return f"{images.name}/ beside {masks.name}/ with images in it" if images and masks and images != masks else ""


def recognise_stills(folder: Path) -> str:
    """What says that the images are no sequences; empty where nothing does."""
    images = child(folder, IMAGES)
    if not images or not recognise(folder):
        return ""
    groups = {p.parent for p in images_below(images)}
    if any(p != images and p.name.lower() not in SPLIT_NAMES for p in groups):
        return ""
    if folder.name.lower() in SPLIT_NAMES or images not in groups:
        return "its folders are splits, not sequences"
    names = {p.stem for p in image_files(images)}
    if any(len(entry.parts) == 1 and entry.name in names for given in lists_in(folder) for entry in given.entries):
        return "its lists split single images"
    shapes = {read_image(p).shape for p in image_files(images)[:20]}
    return "its images differ in size" if len(shapes) > 1 else ""


def find(folder: Path, options: Options) -> list[Found]:
    """Sequences: each folder of images a sequence."""
    template = Found(folder.name, folder, folder / "masks", MASKS, None, recognise(folder), root=folder)
    return sequences(_shots(folder), template)


def find_stills(folder: Path, options: Options) -> list[Found]:
    """Every image a sequence of one frame, with the image's name."""
    why = recognise_stills(folder) or recognise(folder)
    template = Found(folder.name, folder, folder / "masks", STILLS, None, why, root=folder)
    shots = [_still(shot, folder) for shot in _shots(folder)]
    return sequences(shots, template)


def read_mask(path: Path, shape: tuple[int, int]) -> Reading:
    """A target for each 8-connected component: centre its centroid, size that of its bounding rectangle, px.

    A pixel is set above half of the mask's largest value; a mask of more than two values is noted. Raises InputError where the mask has
    another size than the frame, and where its values are small whole numbers, which may be those of instances or classes.
    """
    mask = read_image(path)
    if mask.shape != shape:
        raise InputError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]}, but its frame is {shape[1]}x{shape[0]}; give the mask of this frame"
        )
    values = np.flatnonzero(np.bincount(mask.ravel()))
    top = int(values[-1])
    notes: tuple[str, ...] = ()
    if len(values) > 2 or (len(values) == 2 and values[0] > 0):
        if top < 32:
            raise InputError(
                f"{path}: values {', '.join(map(str, values[:5]))} may be numbers of instances or classes; "
                "save a mask of two values, the target's and 0"
            )
        notes = ("the mask is not binary, pixels above half of its largest value are taken as target",)
    binary = (mask > top / 2).astype(np.uint8)
    _, _, stats, centroids = cv2.connectedComponentsWithStats(binary, connectivity=8)
    if len(stats) > _MOST:
        raise InputError(f"{path}: {len(stats) - 1} separate areas; no mask of targets, correct it")
    if len(stats) > 1 and int(stats[1:, cv2.CC_STAT_AREA].sum()) * 2 > mask.size:
        raise InputError(f"{path}: most of the mask is set; black must be background, invert it")
    labels = []
    for row, (rectangle, centre) in enumerate(zip(stats[1:], centroids[1:], strict=True), 1):
        w, h = float(rectangle[cv2.CC_STAT_WIDTH]), float(rectangle[cv2.CC_STAT_HEIGHT])
        labels.append(Label(path, row, 0, Box(float(centre[0]) + 0.5, float(centre[1]) + 0.5, w, h), "component"))
    return Reading(labels, notes)


def _masks(folder: Path) -> Path | None:
    masks = child(folder, _MASKS)
    return masks if masks and any(True for _ in images_below(masks)) else None


def _shots(folder: Path) -> list[Shot]:
    images, masks = child(folder, IMAGES), _masks(folder)
    if not images or not masks:
        raise InputError(f"{folder}: no images/ beside masks/ here")
    shots, used = [], set()
    by_place = {mask.relative_to(masks).with_suffix(""): mask for mask in images_below(masks)}
    for image in images_below(images):
        place = image.relative_to(images)
        names = [place.with_name(place.stem + ending) for ending in _ENDINGS]
        mask = next((by_place[name] for name in names if name in by_place), None)
        if mask is None:
            raise InputError(
                f"{image}: no mask {place.with_suffix('.png')} in {masks}; add it (black: no target) or correct the names"
            )
        used.add(mask)
        split = SPLIT_NAMES.get(place.parts[0].lower()) if len(place.parts) > 1 else None
        split = split or SPLIT_NAMES.get(folder.name.lower())
        shots.append(Shot(image, partial(read_mask, mask), _in_sequence(place, folder), split=split, said_by=mask))
    if left := sorted(set(by_place.values()) - used, key=natural_key):
        raise InputError(f"{left[0]}: a mask without an image of its name in {images}; correct the names")
    return shots


def _in_sequence(place: Path, folder: Path) -> Path:
    """SEQ/images/1.png is a frame of SEQ, whatever its own name says; images/SEQ/1.png of SEQ."""
    return place if len(place.parts) > 1 else Path(folder.name) / place


def _still(shot: Shot, folder: Path) -> Shot:
    """The image as a sequence of its own: FOLDER_NAME for images/FOLDER/NAME.png."""
    name = "_".join(shot.path.relative_to(folder).with_suffix("").parts[1:])
    return replace(shot, sequence=name)
