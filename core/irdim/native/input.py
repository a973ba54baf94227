"""irdim.differencing.network_input, padded to the network's stride, by the quickest means that this machine has."""

import ctypes
import functools
from functools import partial

import numpy as np

from irdim.differencing import (
    NO_SHIFT,
    STACK,
    Frames,
    InputSpec,
    difference_planes,
    network_input,
    whole_pixels,
)
from irdim.grid import pad_to_stride
from irdim.native.compiler import sound_library
from irdim.noise import pixel_stride, sampled_sigma

DTYPES = (np.uint8, np.uint16)
SAME = 1e-5  # what the native step may differ by from NumPy, in compressed noise sigmas


class Placed(ctypes.Structure):
    """As in differencing.c."""

    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("whole_y", ctypes.c_int32),
        ("whole_x", ctypes.c_int32),
        ("part_y", ctypes.c_float),
        ("part_x", ctypes.c_float),
    )


def padded_input(
    stack: Frames, spec: InputSpec, shifts: np.ndarray, stride: int, sigma: np.ndarray | None = None
) -> np.ndarray:
    """The input of a whole frame, (C, H, W) float32 in compressed noise sigmas, padded with zeros at the bottom and right to a multiple of the
    stride. stack: four frames (H, W), newest first; shifts: (3, 2), see `irdim.differencing.align`; sigma: (C,) counts, estimated where it is None."""
    library = native()
    alike = len({(frame.shape, frame.dtype) for frame in stack}) == 1
    if library is None or not alike or stack[0].dtype not in DTYPES:
        return pad_to_stride(network_input(stack, spec, shifts, sigma), stride)
    return native_input(library, stack, spec, shifts, stride, sigma)


@functools.cache
def native() -> ctypes.CDLL | None:
    """The compiled step, or nothing where it cannot be had or is not what NumPy is."""
    return sound_library(_difference, SAME, "the input step runs in NumPy, which takes more than twice as long")


def native_input(
    library: ctypes.CDLL,
    stack: Frames,
    spec: InputSpec,
    shifts: np.ndarray,
    stride: int = 1,
    sigma: np.ndarray | None = None,
) -> np.ndarray:
    """See `padded_input`; sigma as of `irdim.differencing.network_input`. stack: of uint8 or uint16, all alike."""
    frames = [np.ascontiguousarray(frame) for frame in stack]
    height, width = frames[0].shape
    image = np.empty((spec.channels, height + -height % stride, width + -width % stride), np.float32)
    image[:, height:] = image[:, :, width:] = 0
    step = pixel_stride((height, width))
    values = np.empty(-(-height * width // step), np.float32)
    count = partial(native_histogram, library)
    for channel, out in enumerate(image):
        differs = channel < difference_planes(spec)
        k = channel + 1 if differs else channel - difference_planes(spec)
        older = _placed(frames[k], shifts[k - 1] if spec.register else NO_SHIFT[0]) if k else None
        shape = (frames[0].dtype.itemsize, height, width, differs)
        written = (step, values.ctypes.data, out.ctypes.data, out.shape[1])
        if library.irdim_channel(frames[0].ctypes.data, older and ctypes.byref(older), *shape, *written):
            raise MemoryError(f"no memory for the input step of {width}x{height} px")
        scale = sampled_sigma(values, 1 + differs, count) if sigma is None else float(sigma[channel])
        library.irdim_compress(out.ctypes.data, height, width, out.shape[1], scale)
    return image


def native_histogram(library: ctypes.CDLL, values: np.ndarray, centre: float, width: float, reach: int) -> np.ndarray:
    """irdim.noise.histogram. values: contiguous."""
    counts = np.zeros(2 * reach + 1, np.int64)
    if library.irdim_histogram(values.ctypes.data, len(values), centre, width, reach, counts.ctypes.data):
        raise MemoryError(f"no memory for {len(counts)} bins")
    return counts


def _placed(frame: np.ndarray, shift: np.ndarray) -> Placed:
    dy, dx = np.asarray(shift, np.float32)
    whole_y, whole_x = whole_pixels(dy), whole_pixels(dx)
    return Placed(frame.ctypes.data, whole_y, whole_x, np.float32(dy - whole_y), np.float32(dx - whole_x))


def _difference(library: ctypes.CDLL) -> float:
    """The most that the two differ by on a small stack with all that there is: noise, shifts, a saturated corner."""
    rng = np.random.default_rng(0)
    stack = rng.normal(9000, 40, (STACK, 40, 53)).clip(0, 65535).astype(np.uint16)
    stack[:, :9, :11] = 65535
    spec, shifts = InputSpec("difference+frame", 1, True), np.array([[0.3, -0.45], [-2.5, 7.25], [0, 0]], np.float32)
    return float(np.abs(native_input(library, stack, spec, shifts) - network_input(stack, spec, shifts)).max())
