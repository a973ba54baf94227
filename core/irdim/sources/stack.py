"""A NumPy file (T, H, W), read through a memory map."""

import mmap
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

LET_GO_EVERY = 64  # frames after which what was read no longer counts as this process's memory


@dataclass(frozen=True, eq=False)
class Stack:
    """FrameSource over an array (T, H, W), in memory or mapped. `check(index, pixels)` may raise at a frame that cannot be."""

    name: str
    array: np.ndarray
    clock: Clock = field(default_factory=Clock)
    check: Callable[[int, np.ndarray], None] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape[1], self.array.shape[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype.newbyteorder("=")

    @property
    def interval(self) -> float | None:
        return self.clock.interval

    @property
    def length(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(len(self.array)):
            pixels = np.array(self.array[index], self.dtype, order="C")
            if self.check:
                self.check(index, pixels)
            if index % LET_GO_EVERY == LET_GO_EVERY - 1:
                _let_go(self.array)
            yield Frame(index, self.clock.at(index), pixels)


def open_stack(path: Path, name: str, interval: float | None) -> Stack:
    """Open `path` (.npy). Times: `times.*` beside a `frames.npy`, else `<stem>.times.*`."""
    stem = "times" if path.name == "frames.npy" else f"{path.stem}.times"
    clock = find_clock([path.with_name(stem + suffix) for suffix in (".npy", ".csv")], interval)
    array = map_stack(path)
    clock.check_length(len(array))
    return Stack(name, array, clock)


def map_stack(path: Path) -> np.ndarray:
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
    if not isinstance(array, np.ndarray):
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


def _let_go(array: np.ndarray) -> None:
    """Give a map's pages back; the file's stay in the system's cache."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
