"""YOLO: a text beside each image's place, `class x y w h` in parts of the image; class names in data.yaml or classes.txt."""

import re
from functools import partial
from pathlib import Path

from irdim.boxes import Box
from irdim.errors import InputError
from irdim.sources.images import SUFFIXES
from irdim_train.importing.centres import has_boxes
from irdim_train.importing.found import Found, Options, Reading
from irdim_train.importing.gallery import SPLIT_NAMES, Shot, child, images_below, sequences
from irdim_train.importing.labels import Label
from irdim_train.importing.readers import inside, numbers, read_lines, read_yaml

YOLO = "yolo"
_YAML_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASS_FILES = ("classes.txt", "obj.names", "labels/classes.txt", "train/labels/classes.txt")


def recognise(path: Path) -> str:
    """What makes a folder, or a YAML file, a YOLO data set; empty where nothing does."""
    if yaml := _yaml(path):
        return f"{yaml.name} names classes and images"
    if path.is_dir() and child(path, ["images"]) and (labels := child(path, ["labels"])):
        texts = [p for p in sorted(labels.rglob("*.txt")) if p.name != "classes.txt"]
        if any(has_boxes(text) for text in texts[:200]):
            return "images/ and labels/ with `class x y w h` lines"
    return ""


def find(path: Path, options: Options) -> list[Found]:
    """Sequences: folders below the image folders, or images of one name. An image without a text has no target, as YOLO has it."""
    folder = path if path.is_dir() else path.parent
    yaml = _yaml(path)
    names, images = _described(yaml) if yaml else _plain(folder)
    template = Found(folder.name, folder, yaml or folder / "labels", YOLO, None, recognise(path), root=folder)
    shots = []
    for split, place in images:
        files = images_below(place) if place.is_dir() else _listed(place, folder)
        for image in files:
            inner = image.relative_to(place) if image.is_relative_to(place) else image.relative_to(folder)
            text = _text_of(image, place if place.is_dir() else folder, folder)
            shots.append(Shot(image, partial(_read, text, names), inner, split=split, said_by=text))
    if not shots:
        raise InputError(f"{yaml or folder}: names no image; correct it")
    _check_texts([shot.said_by for shot in shots if shot.said_by])
    return sequences(shots, template)


def _yaml(path: Path) -> Path | None:
    """A YAML file that names classes and where images are."""
    files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    for file in files:
        if file.suffix in (".yaml", ".yml"):
            with file.open("rb") as opened:
                head = opened.read(1 << 16)
            if re.search(rb"(?m)^names\s*:", head) and re.search(rb"(?m)^(train|val)\w*\s*:|^test\s*:", head):
                return file
    return None


def _described(yaml: Path) -> tuple[dict[int, str], list[tuple[str | None, Path]]]:
    """Class names by number, and (split, folder or list) of the images."""
    value = read_yaml(yaml)
    names = value["names"]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(
        isinstance(k, int) and isinstance(v, str | int) for k, v in names.items()
    ):
        raise InputError(f"{yaml}: 'names' must be a list of names, or names by number")
    places: list[tuple[str | None, Path]] = []
    for key, split in SPLIT_NAMES.items():
        entries = value.get(key) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            places.append((split, _place(yaml, str(value.get("path") or "."), str(entry))))
    return {number: str(name) for number, name in names.items()}, places


def _place(yaml: Path, base: str, entry: str) -> Path:
    """Where an entry lies: below the file's folder, although `path` and a leading `..` often say otherwise (as Ultralytics and Roboflow write it)."""
    root = yaml.parent
    bases = [base] if not Path(base).is_absolute() and ".." not in Path(base).parts else []
    while entry.startswith(("../", "./")):
        entry = entry.partition("/")[2]
    for start in [*bases, "."]:
        if (place := inside(root, f"{start}/{entry}", yaml)).exists():
            return place
    raise InputError(f"{yaml}: {entry} is not there in {root}; correct it, or put the images there")


def _plain(folder: Path) -> tuple[dict[int, str], list[tuple[str | None, Path]]]:
    images = child(folder, ["images"])
    if images is None:
        raise InputError(f"{folder}: neither a data.yaml nor images/ beside labels/ here")
    file = next((folder / name for name in _CLASS_FILES if (folder / name).is_file()), None)
    if file is None and (yaml := next((folder / name for name in _YAML_FILES if (folder / name).is_file()), None)):
        read_yaml(yaml)  # says what is wrong where it is no YAML at all
        raise InputError(
            f"{yaml}: must hold `names:` and one of `train:`, `val:`, `test:` at the line's beginning; correct it, or take it out"
        )
    names = dict(enumerate(line.strip() for line in read_lines(file) if line.strip())) if file else {}
    splits = [
        (SPLIT_NAMES[p.name.lower()], p)
        for p in sorted(images.iterdir())
        if p.is_dir() and p.name.lower() in SPLIT_NAMES
    ]
    return names, [*splits] if splits else [(None, images)]


def _listed(path: Path, folder: Path) -> list[Path]:
    """The images that a text names, one a line."""
    if path.suffix.lower() in SUFFIXES:
        return [path]
    found = []
    for row, line in enumerate(read_lines(path), 1):
        if line.strip():
            image = inside(folder, line.strip(), path)
            if not image.is_file():
                raise InputError(f"{path}, line {row}: {line.strip()} is not there in {folder}; correct it")
            found.append(image)
    return found


def _text_of(image: Path, place: Path, folder: Path) -> Path:
    """labels/... for images/..., above the folders of the sequences; beside the image where there is no folder of that name."""
    above, inner = place.relative_to(folder).parts, image.relative_to(place).parts
    if "images" not in above and "images" in inner:
        at = len(above) + inner.index("images")
    else:
        at = max((i for i, part in enumerate(above) if part == "images"), default=-1)
    parts = [*above, *inner]
    if at >= 0:
        parts[at] = "labels"
    return folder.joinpath(*parts).with_suffix(".txt")


def _check_texts(used: list[Path]) -> None:
    """Raises InputError where no image has a text, and at a text in a folder of labels that is no image's: another may lack its own."""
    if not any(text.is_file() for text in used):
        raise InputError(
            f"{used[0].parent}: none of {len(used)} images has a text here ({used[0].name}); add the labels"
        )
    known = set(used)
    for place in sorted({text.parent for text in known if "labels" in text.parts}):
        for text in sorted(place.glob("*.txt")):
            if text not in known and text.name != "classes.txt":
                raise InputError(
                    f"{text}: there is no image of that name; add it, take the text out or correct the names"
                )


def _read(path: Path, names: dict[int, str], shape: tuple[int, int]) -> Reading:
    """Boxes of one image; the name of a class without one is its number."""
    if not path.is_file():
        return Reading([], ("no text, taken as a frame without targets",))
    labels = []
    for row, line in enumerate(read_lines(path), 1):
        if not (words := line.split()):
            continue
        if len(words) != 5:
            raise InputError(
                f"{path}, line {row}: {len(words)} values; a box is `class x y w h` (no polygons, no scores); export boxes"
            )
        number, x, y, w, h = numbers(words, 5, f"{path}, line {row}")
        if number != int(number) or number < 0 or not (w > 0 and h > 0):
            raise InputError(f"{path}, line {row}: needs a class number and a size above 0; correct or remove it")
        if names and int(number) not in names:
            raise InputError(f"{path}, line {row}: there is no class {int(number)}; correct it or the list of classes")
        if max(x, y) > 2:
            raise InputError(
                f"{path}, line {row}: {x:g}, {y:g} are no parts of the image; YOLO's numbers go from 0 to 1"
            )
        height, width = shape
        box = Box(x * width, y * height, w * width, h * height, names.get(int(number), str(int(number))))
        labels.append(Label(path, row, 0, box, "line"))
    return Reading(labels)
