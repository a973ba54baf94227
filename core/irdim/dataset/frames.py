"""The frames of a data set: one .npy file a sequence, written as they come in."""

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from irdim.errors import InputError
from irdim.sources import Frame

_HEADER = 128  # bytes; the .npy header is padded to this, so that the number of frames can be filled in at the end


@dataclass(frozen=True)
class Summary:
    """What went through: number of frames, (H, W), dtype name, digest, times (T,) float64 seconds."""

    length: int
    height: int
    width: int
    dtype: str
    digest: str
    times: np.ndarray


def digest_of(frames: np.ndarray) -> str:
    """Digest of frames (T, H, W): SHA-256 of their bytes (little-endian, row by row), then of `dtype T H W`."""
    digest = hashlib.sha256()
    for pixels in frames:
        digest.update(_bytes(pixels))
    return _finish(digest, frames.dtype.name, frames.shape[0], frames.shape[1], frames.shape[2])


def read_through(name: str, frames: Iterable[Frame], file: IO[bytes] | None) -> Summary:
    """Run through `frames`, writing them to `file` as .npy where there is one.

    Raises InputError where there is no frame, at a change of size or depth, and at a time that is not finite.
    """
    digest, times, first = hashlib.sha256(), [], None
    if file:
        file.write(bytes(_HEADER))
    for index, frame in enumerate(frames):
        pixels = frame.pixels
        if first is None:
            first = pixels
            if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or 0 in pixels.shape:
                raise InputError(f"{name}, frame 0: {pixels.dtype} {pixels.shape}; frames are (H, W) uint8 or uint16")
        elif pixels.shape != first.shape or pixels.dtype != first.dtype:
            was = f"{first.dtype} {first.shape}"
            raise InputError(f"{name}, frame {index}: {pixels.dtype} {pixels.shape}, but the sequence began with {was}")
        if not np.isfinite(frame.time):
            raise InputError(f"{name}, frame {index}: its time is not finite")
        data = _bytes(pixels)
        digest.update(data)
        times.append(frame.time)
        if file:
            file.write(data)
    if first is None:
        raise InputError(f"{name}: holds no frame")
    shape = (len(times), first.shape[0], first.shape[1])
    if file:
        file.seek(0)
        file.write(_npy_header(first.dtype, shape))
    length, height, width = shape
    return Summary(
        length, height, width, first.dtype.name, _finish(digest, first.dtype.name, *shape), np.array(times, "<f8")
    )


@contextlib.contextmanager
def temporary_file(folder: Path, lock: Callable[[], AbstractContextManager[None]]) -> Iterator[tuple[IO[bytes], Path]]:
    """A file that `remove_leftovers` leaves alone while this process lives, and that goes unless it is renamed."""
    path = folder / f".{secrets.token_hex(8)}.tmp"
    with lock():  # made and locked in one step, as far as other processes see
        file = path.open("wb")
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield file, path
    finally:
        file.close()
        path.unlink(missing_ok=True)


def finish_file(file: IO[bytes]) -> None:
    """Bring what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())


def remove_leftovers(folder: Path, names: set[str]) -> int:
    """Remove what a killed import left: temporary files that no process holds, frames that no row knows.

    To be called under the data set's write lock, with the names of all its sequences. Returns how many went.
    """
    removed = 0
    for path in folder.iterdir():
        if path.suffix == ".npy" and path.stem not in names:
            path.unlink(missing_ok=True)
            removed += 1
        elif path.suffix == ".tmp" and path.name.startswith("."):
            removed += _remove_if_dead(path)
    return removed


def _remove_if_dead(path: Path) -> int:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:  # its process lives and holds it, or has just removed it
        return 0
    return 1


def _bytes(pixels: np.ndarray) -> bytes:
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes()


def _finish(digest: Any, dtype: str, length: int, height: int, width: int) -> str:
    digest.update(f"{dtype} {length} {height} {width}".encode())
    return str(digest.hexdigest())


def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Version 1.0 header of _HEADER bytes (NumPy's format: magic, version, length, padded dict, newline)."""
    text = f"{{'descr': '{dtype.newbyteorder('<').str}', 'fortran_order': False, 'shape': {shape}, }}"
    start = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
    return start + text.encode().ljust(_HEADER - 11) + b"\n"
