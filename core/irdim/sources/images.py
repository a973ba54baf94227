"""A folder of still images, one a frame, in natural order of their names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from irdim.errors import InputError
from irdim.sources.clock import Clock, find_clock
from irdim.sources.decoders import quiet
from irdim.sources.frame import Frame
from irdim.sources.headers import check_image
from irdim.sources.limits import check_file_size

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
_LOSSY = (".jpg", ".jpeg")
_LARGEST_FILE = 1 << 29  # bytes: the largest frame, uncompressed, in four channels of 16 bits


def image_files(folder: Path) -> list[Path]:
    """The folder's images in natural order (9 before 10); hidden files left out."""
    return sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()),
        key=natural_key,
    )


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key: runs of digits by their value, the rest as text, the plain name where that leaves a tie."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(0, int(p), "") if p[0] in "0123456789" else (1, 0, p.lower()) for p in parts], path.name


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """FrameSource over images. Raises InputError, naming the file, at a corrupt one and a change of size or depth."""

    name: str
    files: tuple[Path, ...]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    clock: Clock = field(default_factory=Clock)
    notes: tuple[str, ...] = ()

    @property
    def interval(self) -> float | None:
        return self.clock.interval

    @property
    def length(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.files):
            pixels = read_image(path)
            if pixels.dtype != self.dtype:
                raise InputError(
                    f"{path}: {_bits(pixels.dtype)}, but the sequence began with {_bits(self.dtype)} ({self.files[0]})"
                )
            if pixels.shape != self.shape:
                raise InputError(
                    f"{path}: {_size(pixels.shape)}, but the sequence began with {_size(self.shape)} ({self.files[0]})"
                )
            yield Frame(index, self.clock.at(index), pixels)


def open_images(folder: Path, name: str, interval: float | None) -> ImageFolder:
    """Open a folder of images, in natural order of their names."""
    files = image_files(folder)
    if not files:
        raise InputError(f"{folder}: no PNG, TIFF or BMP image in this folder (nor a JPEG)")
    return open_files(files, name, interval)


def open_files(files: Sequence[Path], name: str, interval: float | None) -> ImageFolder:
    """Open images as the frames of a sequence, in this order; the first gives shape and depth.

    Times: `times.npy` or `times.csv` beside the first, where they are all images of that folder.
    """
    first = read_image(files[0])
    folder = files[0].parent
    sidecars = [path for path in (folder / "times.npy", folder / "times.csv") if path.is_file()]
    whole = not sidecars or len(files) == len(image_files(folder))
    clock = find_clock(sidecars if whole else [], interval)
    clock.check_length(len(files))
    notes = _numbering_notes(files)
    if any(path.suffix.lower() in _LOSSY for path in files):
        notes += ("JPEG: what it lost of dim targets is lost; import the lossless frames if there are any",)
    return ImageFolder(name, tuple(files), first.shape, first.dtype, clock, notes)


def read_image(path: Path) -> np.ndarray:
    """(H, W) uint8 or uint16; of colour files if the channels are equal. InputError where it is no such image."""
    try:
        check_file_size(path, _LARGEST_FILE)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    check_image(path, data)
    pixels = _decode(data)
    if pixels is None:
        raise InputError(f"{path}: corrupt or no image; copy it again or take it out")
    if pixels.ndim == 3:
        pixels = _grey(path, pixels)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: {pixels.dtype} pixels; save the frames as 8- or 16-bit unsigned grey")
    return pixels


def _decode(data: bytes) -> np.ndarray | None:
    with quiet():
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None


def _grey(path: Path, pixels: np.ndarray) -> np.ndarray:
    colours = pixels[..., :3]
    if (colours != colours[..., :1]).any():
        raise InputError(f"{path}: a colour image; give the sensor's grey frames, not a false-colour rendering")
    return np.ascontiguousarray(colours[..., 0])


def _numbering_notes(files: Sequence[Path]) -> tuple[str, ...]:
    """A note where some files of an evenly numbered folder are missing: they are taken as consecutive."""
    numbers = [int(runs[-1]) for p in files if (runs := re.findall(r"[0-9]+", p.stem))]
    if len(numbers) != len(files) or len(numbers) < 3:
        return ()
    steps = np.diff(np.array([min(n, 2**62) for n in numbers]))
    usual = np.median(steps)
    odd = np.flatnonzero(steps != usual)
    if not len(odd) or len(odd) > len(steps) // 4:  # irregular names are time stamps or the like, not holes
        return ()
    return (
        f"numbering skips {len(odd)} times, first after {files[int(odd[0])].name}; frames are taken as consecutive",
    )


def _bits(dtype: np.dtype[Any]) -> str:
    return f"{dtype.itemsize * 8}-bit"


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
