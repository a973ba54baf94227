"""Batches of patches by the compiled input step of irdim.native: augmentation, differencing and turning of a patch while it is in the cache."""

import ctypes

import numpy as np
import torch
from torch import Tensor

from irdim.differencing import InputSpec, difference_planes
from irdim_train.augmentation import Camera
from irdim_train.devices import worker_threads

PIECE = 8  # patches that a thread takes at a time


POINTERS = ("stacks", "shifts", "sigma", "more", "sign", "noise", "at", "out")
NUMBERS = ("bytes", "frames", "height", "width", "channels", "differences", "turn", "compressed")


class _Patches(ctypes.Structure):
    """struct patches of differencing.c."""

    _fields_ = (*((name, ctypes.c_void_p) for name in POINTERS), *((name, ctypes.c_int32) for name in NUMBERS))


def native_patches(
    library: ctypes.CDLL,
    stacks: np.ndarray,
    spec: InputSpec,
    shifts: np.ndarray,
    sigma: np.ndarray,
    camera: Camera | None = None,
    turn: int = 0,
    compressed: bool = True,
) -> Tensor:
    """What the network reads, (N, C, S, S) float32, channels last; in noise sigmas where it is not compressed.

    stacks: (N, 4, S, S) uint8 or uint16 counts, newest first, as the patch file has them; shifts: (N, 3, 2), what is left of them; sigma: (N, C) counts, of
    what the camera sees; turn: as of turn_image. Held against irdim_train.inputs within 1e-5 by the tests.
    """
    n, frames, height, width = stacks.shape
    if height != width or stacks.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"stacks {stacks.dtype} {stacks.shape} are no patches")
    image = np.empty((n, height, width, spec.channels), np.float32)
    given = {
        "stacks": np.ascontiguousarray(stacks),
        "sigma": _array(sigma, np.float32, (n, spec.channels)),
        "out": image,
    }
    if spec.register:
        given["shifts"] = _array(shifts, np.float32, (n, frames - 1, 2))
    if camera is not None:
        given["more"], given["sign"] = (_array(a, np.float32, (n,)) for a in (camera.more, camera.sign))
        given["noise"], given["at"] = camera.noise(height * width), _array(camera.at, np.int64, (n, frames))
    shape = (stacks.itemsize, frames, height, width, spec.channels, difference_planes(spec), turn, compressed)
    pointers = (given[name].ctypes.data if name in given else None for name in POINTERS)
    patches = _Patches(*pointers, *shape)

    def some(first: int) -> int:
        return int(library.irdim_patches(ctypes.byref(patches), first, min(PIECE, n - first)))

    if any(worker_threads(torch.get_num_threads()).map(some, range(0, n, PIECE))):
        raise MemoryError(f"no memory for {n} patches of {width} px")
    return torch.from_numpy(image).permute(0, 3, 1, 2)


def _array(values: np.ndarray, dtype: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    """As the compiled step reads it."""
    array: np.ndarray = np.ascontiguousarray(values, dtype)
    if array.shape != shape:
        raise ValueError(f"{array.shape}, {shape} wanted")
    return array
