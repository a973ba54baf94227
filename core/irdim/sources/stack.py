"""Frames one after the other in one file: a NumPy array (T, H, W), or raw counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from irdim.errors import InputError
from irdim.sources.arrays import READ_ERRORS, map_array
from irdim.sources.clock import Clock, find_clock
from irdim.sources.frame import Frame
from irdim.sources.limits import check_frame_size


@dataclass(frozen=True, eq=False)
class FrameFile:
    """FrameSource over a file of (T, H, W) counts from byte `offset` on. `check(index, pixels)` may raise at a frame that cannot be.

    It is opened for each reading and read, not mapped: a thousand of them hold no file open, none of their pages counts as this process's memory, and a
    file that is cut meanwhile is an error, not a SIGBUS.
    """

    name: str
    path: Path
    array_shape: tuple[int, int, int]
    stored: np.dtype[Any]  # with the file's byte order
    offset: int
    clock: Clock = field(default_factory=Clock)
    check: Callable[[int, np.ndarray], None] | None = None
    fortran: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return self.array_shape[1], self.array_shape[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.stored.newbyteorder("=")

    @property
    def interval(self) -> float | None:
        return self.clock.interval

    @property
    def length(self) -> int:
        return self.array_shape[0]

    def __iter__(self) -> Iterator[Frame]:
        for index, stored in enumerate(self._mapped() if self.fortran else self._read()):
            pixels = stored.astype(self.dtype, order="C", copy=self.fortran)
            if self.check:
                self.check(index, pixels)
            yield Frame(index, self.clock.at(index), pixels)

    def _read(self) -> Iterator[np.ndarray]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for index in range(self.length):
                pixels = np.empty(self.shape, self.stored)
                if file.readinto(pixels.reshape(-1).view(np.uint8).data) < pixels.nbytes:
                    raise InputError(f"{self.path}: ends in frame {index}, shorter than when it was opened")
                yield pixels

    def _mapped(self) -> Iterator[np.ndarray]:
        """Of an array whose first axis runs fastest; its frames do not lie together."""
        yield from np.memmap(self.path, self.stored, "r", self.offset, self.array_shape, "F")


def open_stack(path: Path, name: str, interval: float | None) -> FrameFile:
    """Open `path` (.npy). Times: `times.*` beside a `frames.npy`, else `<stem>.times.*`."""
    stem = "times" if path.name == "frames.npy" else f"{path.stem}.times"
    clock = find_clock([path.with_name(stem + suffix) for suffix in (".npy", ".csv")], interval)
    array = map_stack(path)
    clock.check_length(len(array))
    fortran = not array.flags.c_contiguous
    frames, height, width = array.shape
    return FrameFile(name, path, (frames, height, width), array.dtype, array.offset, clock, fortran=fortran)


def map_stack(path: Path) -> np.memmap:
    """Memory map of a .npy file. Raises InputError unless it is (T, H, W) uint8 or uint16 with at least one frame."""
    try:
        array = map_array(path)
    except READ_ERRORS as error:
        why = " ".join(str(error).split())
        hint = (
            "object arrays are not read"
            if "allow_pickle" in why or "object" in why.lower()
            else "truncated, or no .npy file"
        )
        raise InputError(
            f"{path}: not a readable .npy stack ({hint}); save it again as (T, H, W) uint8 or uint16"
        ) from None
    if not isinstance(array, np.memmap):
        raise InputError(f"{path}: an archive, not a .npy stack; save it as (T, H, W) uint8 or uint16")
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"{path}: shape {array.shape}; a stack is (T, H, W) with at least one frame")
    check_frame_size(path, array.shape[2], array.shape[1])
    if array.dtype.kind == "f":
        extra = " with NaN" if np.isnan(array[0]).any() else ""
        raise InputError(f"{path}: {array.dtype} pixels{extra}; save the sensor's counts as (T, H, W) uint8 or uint16")
    if array.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise InputError(f"{path}: {array.dtype} pixels; save it as (T, H, W) uint8 or uint16")
    return array
