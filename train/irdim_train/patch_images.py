"""Patches of a batch to what the network reads: augmented, differenced and turned. By the compiled input step of irdim.native, a patch at a time while it
is in the cache, or by torch, the whole batch at each step."""

import ctypes
import functools
import logging

import numpy as np
import torch
from torch import Tensor

from irdim.differencing import STACK, InputSpec, difference_planes
from irdim.native.input import SAME, native
from irdim_train.augmentation import Camera, turn_image
from irdim_train.devices import worker_threads
from irdim_train.inputs import compress, in_sigmas

logger = logging.getLogger("irdim_train")

PIECE = 8  # patches that a thread takes at a time


POINTERS = ("stacks", "shifts", "sigma", "more", "sign", "noise", "at", "out")
NUMBERS = ("bytes", "frames", "height", "width", "channels", "differences", "turn", "compressed")


class _Patches(ctypes.Structure):
    """struct patches of differencing.c."""

    _fields_ = (*((name, ctypes.c_void_p) for name in POINTERS), *((name, ctypes.c_int32) for name in NUMBERS))


@functools.cache
def native_step() -> ctypes.CDLL | None:
    """The compiled step, or nothing where it cannot be had or does to patches something else than torch."""
    library = native()
    if library is None:
        return None
    rng = np.random.default_rng(0)
    stacks = rng.normal(9000, 40, (3, STACK, 24, 24)).clip(0, 65535).astype(np.uint16)
    shifts, sigma = rng.uniform(-0.5, 0.5, (3, STACK - 1, 2)).astype(np.float32), np.full((3, 4), 50, np.float32)
    spec, camera = InputSpec("difference+frame", 1, True), Camera.draw(np.full(3, 40, np.float32), 24**2, rng)
    found = native_patches(library, stacks, spec, shifts, sigma, camera, turn=7)
    off = float((found - torch_patches(torch.from_numpy(stacks), spec, shifts, sigma, camera, turn=7)).abs().max())
    if off <= SAME:
        return library
    logger.warning("batches are prepared by torch, since what was compiled differs from it by %.2g", off)
    return None


def torch_patches(
    stacks: Tensor,
    spec: InputSpec,
    shifts: np.ndarray,
    sigma: np.ndarray,
    camera: Camera | None = None,
    turn: int = 0,
    compressed: bool = True,
) -> Tensor:
    """See `native_patches`; on the device of the stacks."""
    counts = stacks.float()
    if camera is not None:
        counts = camera.see(counts)
    signal = in_sigmas(counts, spec, *(torch.from_numpy(a).to(stacks.device) for a in (shifts, sigma)))
    return turn_image(compress(signal) if compressed else signal, turn)


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
    what the camera sees; turn: as of turn_image. Held against `torch_patches` within 1e-5 by the tests.
    """
    n, frames, height, width = stacks.shape
    if frames != STACK or height != width or stacks.dtype not in (np.uint8, np.uint16):
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
        if not 0 <= camera.at.min(initial=0) <= camera.at.max(initial=0) <= len(given["noise"]) - height * width:
            raise ValueError(f"noise from {camera.at.max()} on: there are {len(given['noise'])} values")
    shape = (stacks.itemsize, frames, height, width, spec.channels, difference_planes(spec), turn, compressed)
    pointers = (given[name].ctypes.data if name in given else None for name in POINTERS)
    patches = _Patches(*pointers, *shape)

    def some(first: int, held: dict[str, np.ndarray] = given) -> int:  # held: for as long as any thread reads it
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
