"""`.npy` files that grow along their first axis, and their layout, judged before anything is allocated on a header's word."""

import math
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from irdim.errors import InputError


@dataclass(frozen=True)
class Layout:
    """What a header says and the file holds. offset: bytes before the first row."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize  # of any size, as a header may claim


def read_layout(path: Path) -> Layout:
    """Raises InputError where it is no .npy file in C order, or shorter than its header says."""
    try:
        with Path(path).open("rb") as file:
            layout = _parse(file)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # NumPy's header parser raises what ast, tokenize and struct raise
        raise InputError(f"{path}: not a .npy file ({error})") from None
    if size < layout.offset + layout.shape[0] * layout.row_bytes:
        raise InputError(f"{path}: cut off; {size} bytes do not hold the {layout.shape[0]} rows that it states")
    return layout


def read_rows(path: Path, count: int, dtype: np.dtype) -> np.ndarray:
    """The first `count` records of a one-dimensional .npy file. Raises InputError where it holds fewer, or others."""
    layout = read_layout(path)
    if layout.dtype != dtype or len(layout.shape) != 1:
        raise InputError(f"{path}: holds other rows than it should")
    if layout.shape[0] < count:
        raise InputError(f"{path}: {layout.shape[0]} rows, {count} are wanted; copy it again")
    return np.fromfile(path, dtype, count, offset=layout.offset)


class GrowingArray:
    """Appends rows to a .npy file; those that it held stay as they are. Rows count once `settle` has written the header."""

    def __init__(self, path: Path, dtype: np.dtype, tail: tuple[int, ...] = (), count: int = 0) -> None:
        """tail: shape of a row; count: rows to append after; what lies behind them, of a writer that was killed, is cut off."""
        self.dtype, self.tail, self.count = np.dtype(dtype), tail, count
        exists = Path(path).exists()
        if exists:
            there = read_layout(path)
            if there.dtype != self.dtype or there.shape[1:] != tail or there.shape[0] < count:
                raise InputError(f"{path}: holds other rows than it should")
        self._offset = len(self._header(0))
        if exists and there.offset != self._offset:
            raise InputError(f"{path}: its header has no room to grow")
        self._file = Path(path).open("r+b" if exists else "wb")  # noqa: SIM115 - closed by __exit__
        self.settle(count)

    def append(self, rows: np.ndarray) -> np.ndarray:
        """rows: (n, *tail) of the file's dtype. Returns the bytes that were written, uint8."""
        if rows.dtype != self.dtype or rows.shape[1:] != self.tail:
            raise ValueError(f"rows {rows.dtype} {rows.shape[1:]}, the file has {self.dtype} {self.tail}")
        written = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
        self._file.write(written.data)
        self.count += len(rows)
        return written

    def settle(self, count: int) -> None:
        """Make it a file of `count` rows, on the disk. At no moment does the header speak of rows that are not there."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.seek(0)
        self._file.write(self._header(count))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.truncate(self._offset + count * math.prod(self.tail) * self.dtype.itemsize)
        self._file.seek(0, os.SEEK_END)
        self.count = count

    def _header(self, count: int) -> bytes:
        """NumPy pads headers so that the first axis may grow without moving the data."""
        header = BytesIO()
        described = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(header, {**described, "shape": (count, *self.tail)})
        return header.getvalue()

    def __enter__(self) -> "GrowingArray":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _parse(file: BinaryIO) -> Layout:
    """Raises ValueError on what is no header, or one of objects or of Fortran order."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version}")
    if dtype.hasobject or (fortran and len(shape) > 1) or not shape or min(shape) < 0:
        raise ValueError(f"{dtype} of shape {shape}, Fortran order {fortran}")
    return Layout(shape, dtype, file.tell())
