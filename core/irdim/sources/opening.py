"""Which reader a path needs."""

import os
from pathlib import Path

from irdim.errors import InputError
from irdim.sources import images, raw, video
from irdim.sources.frame import FrameSource
from irdim.sources.images import open_images
from irdim.sources.raw import open_raw
from irdim.sources.stack import open_stack
from irdim.sources.video import open_video

_KNOWN = "a folder of PNG, TIFF, BMP or JPEG images or with frames.npy, a video, a .npy stack, or raw .y16/.raw with its .json"
PLAIN = (
    "frames",
    "images",
    "image",
    "img",
    "imgs",
    "img1",
)  # folder names that say what is in them, not which sequence it is


def open_source(path: Path, *, interval: float | None = None) -> FrameSource:
    """Open a sequence; frames are read while iterating.

    path: a folder of PNG, TIFF, BMP or JPEG images (natural order), a folder with `frames.npy`, a video file, a `.npy` stack
    (T, H, W), or raw `.y16`/`.raw` with a sidecar `<stem>.json`. interval: seconds between frames, instead of what the
    file says. Raises InputError, naming the file, where it is none of these; while iterating, where a frame is corrupt
    or unlike the first.
    """
    path = Path(path)
    name = sequence_name(path)
    try:
        if path.is_dir():
            stack = path / "frames.npy"
            return open_stack(stack, name, interval) if stack.is_file() else open_images(path, name, interval)
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        suffix = path.suffix.lower()
        if suffix == ".npy":
            return open_stack(path, name, interval)
        if suffix in video.SUFFIXES:
            return open_video(path, name, interval)
        if suffix in raw.SUFFIXES:
            return open_raw(path, name, interval)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    if suffix in images.SUFFIXES:
        raise InputError(f"{path}: a single image; give the folder that holds the sequence")
    raise InputError(f"{path}: not a sequence; give {_KNOWN}")


def is_sequence(path: Path) -> bool:
    """Whether `open_source` has a reader for this path, by its name and, for a folder, by what lies in it."""
    path = Path(path)
    if path.is_dir():
        return (path / "frames.npy").is_file() or bool(images.image_files(path))
    suffix, stem = path.suffix.lower(), path.stem
    if suffix == ".npy":
        return stem != "times" and not stem.endswith(".times")
    return path.is_file() and suffix in (*video.SUFFIXES, *raw.SUFFIXES)


def sequence_name(path: Path) -> str:
    """The file's stem or the folder's name; CLIP for `CLIP/frames.npy` and `CLIP/frames/`."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - `..` goes, but a link keeps its own name
    if path.name == "frames.npy" or (path.is_dir() and path.name.lower() in PLAIN):
        return path.parent.name or path.stem
    return path.name if path.is_dir() else path.stem
