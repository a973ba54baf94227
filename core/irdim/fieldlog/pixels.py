"""Lossless coding of frames for deflate: differences, folded to small positive numbers, low bytes apart from high bytes.

What a suspect takes (docs/results.md): on dim frames with sensor noise 301 kB, where deflate alone takes 406; on frames of 8 bits whose noise a codec took
away 13 as a crop, where it takes 14, and 67 as whole frames, where it takes 656. Undone in NumPy by two lines, see docs/formats.md.
"""

import io
import math

import numpy as np

TIME, ROW = 0, 2  # axis that differences are taken along: over time, or along the rows
AXES = (TIME, ROW)
HEADER = 4096  # most bytes of an .npy header


def encode(frames: np.ndarray) -> tuple[bytes, int]:
    """.npy bytes of frames (n, H, W) uint8 or uint16, as planes (bytes a pixel, n, H, W) uint8, and the axis that suits them best."""
    axis, folded = min(((a, _fold(frames, a)) for a in AXES), key=lambda of: _cost(of[1]))
    size = frames.dtype.itemsize
    planes = np.empty((size, *frames.shape), np.uint8)
    for k in range(size):
        planes[k] = (folded >> np.uint8(8 * k)).astype(np.uint8)
    stream = io.BytesIO()
    np.save(stream, planes, allow_pickle=False)
    return stream.getvalue(), axis


def decode(data: bytes, dtype: np.dtype, shape: tuple[int, int, int], axis: int | None) -> np.ndarray:
    """Frames of a known dtype and shape (n, H, W) from .npy bytes: as `encode` made them, or plain (axis None).

    Nothing is allocated on the word of the .npy header. Raises ValueError where it is not what is known.
    """
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("a .npy of another version than 1.0")
    found, fortran, depth = np.lib.format.read_array_header_1_0(stream)
    wanted = (shape, dtype) if axis is None else ((dtype.itemsize, *shape), np.dtype("u1"))
    if (found, depth) != wanted or fortran:
        raise ValueError(f"{depth} {found}, where {wanted[1]} {wanted[0]} was stated")
    if len(data) - stream.tell() != math.prod(found) * depth.itemsize:
        raise ValueError("truncated, or bytes too many")
    array = np.frombuffer(data, depth, offset=stream.tell()).reshape(found)
    return array if axis is None else _unfold(array, dtype, axis)


def _fold(frames: np.ndarray, axis: int) -> np.ndarray:
    """Differences modulo the depth, 0, -1, 1, -2, ... written as 0, 1, 2, 3, ..."""
    signed = np.dtype(f"i{frames.dtype.itemsize}")
    first = np.zeros_like(frames[:1] if axis == TIME else frames[:, :, :1])
    difference = np.diff(frames, axis=axis, prepend=first).view(signed)
    return ((difference << 1) ^ (difference >> (8 * signed.itemsize - 1))).view(frames.dtype)


def _unfold(planes: np.ndarray, dtype: np.dtype, axis: int) -> np.ndarray:
    """Frame by frame, so that little is held besides the frames themselves."""
    frames = np.empty(planes.shape[1:], dtype)
    for t in range(len(frames)):
        folded = np.zeros(frames.shape[1:], dtype)
        for k, plane in enumerate(planes[:, t]):
            folded |= plane.astype(dtype) << dtype.type(8 * k)
        difference = (folded >> dtype.type(1)) ^ -(folded & dtype.type(1))
        if axis == TIME:
            frames[t] = difference + (frames[t - 1] if t else dtype.type(0))
        else:
            np.cumsum(difference, axis=1, dtype=dtype, out=frames[t])
    return frames


def _cost(folded: np.ndarray) -> float:
    """About how many bits a pixel takes."""
    return float(np.log2(folded.astype(np.float32) + 1).mean())
