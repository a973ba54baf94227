"""What registration sums over all pixels: in NumPy, and the same compiled for this CPU, of which the quicker one is taken where it can be had."""

import ctypes
import functools
from typing import Protocol

import cv2
import numpy as np

from irdim.native.compiler import sound_library

SAME = 1e-3  # share of the largest that what is compiled may differ by from NumPy: it adds float32 in another order
Inside = tuple[slice, slice]  # a part of an image that leaves out its border, one pixel at least


class Pair(Protocol):
    """Two images (H, W) float32, contiguous, of which the older one is moved by (dy, dx) px, bilinearly, its border repeated; looked at is a part of them."""

    def slopes(self) -> np.ndarray:
        """(2, 2) float64: sums of the products of the newer image's central differences, y and x."""
        ...

    def residual(self, dy: float, dx: float) -> tuple[np.ndarray, float]:
        """Newer less moved older: (2,) float64, its sums times the slopes y and x; and its variance."""
        ...

    def shared(self, dy: float, dx: float) -> np.ndarray:
        """(2, 2) float64, symmetric: as `slopes`, of the newer image's and the moved older one's: what noise adds to slopes the two do not share."""
        ...

    def gain(self, dy: float, dx: float, side: int) -> np.ndarray:
        """By how much the motion lowers the squared residual against the opposite motion, which interpolates, and so lowers the noise, alike: means of
        cells of `side` px, (h, w) float32."""
        ...


class Kernels(Protocol):
    """One way to compute them."""

    def pair(self, older: np.ndarray, newer: np.ndarray, inside: Inside) -> Pair: ...

    def whitened(self, newer: np.ndarray, older: np.ndarray) -> np.ndarray | None:
        """The cross spectrum of two spectra, (h, w) complex64, whitened where texture stands above the mean strength and left as it is where noise rules.
        None where there is no strength, or no end to it."""
        ...


class NumpyPair:
    """By NumPy and OpenCV."""

    def __init__(self, older: np.ndarray, newer: np.ndarray, inside: Inside) -> None:
        self._older, self._inside, self._image = older, inside, newer[inside]
        self._slope_y, self._slope_x = _slopes(newer[_one_more(inside)])

    def slopes(self) -> np.ndarray:
        """See Pair."""
        both = _sum(self._slope_y, self._slope_x)
        return np.array([[_sum(self._slope_y, self._slope_y), both], [both, _sum(self._slope_x, self._slope_x)]])

    def residual(self, dy: float, dx: float) -> tuple[np.ndarray, float]:
        """See Pair."""
        residual = self._image - self._moved(dy, dx)
        return np.array([_sum(self._slope_y, residual), _sum(self._slope_x, residual)]), float(np.var(residual))

    def shared(self, dy: float, dx: float) -> np.ndarray:
        """See Pair."""
        older_y, older_x = _slopes(self._moved(dy, dx, _one_more(self._inside)))
        both = (_sum(self._slope_y, older_x) + _sum(self._slope_x, older_y)) / 2
        return np.array([[_sum(self._slope_y, older_y), both], [both, _sum(self._slope_x, older_x)]])

    def gain(self, dy: float, dx: float, side: int) -> np.ndarray:
        """See Pair."""
        gain = (self._image - self._moved(-dy, -dx)) ** 2 - (self._image - self._moved(dy, dx)) ** 2
        h, w = (n // side for n in gain.shape)
        return cv2.resize(gain[: h * side, : w * side], (w, h), interpolation=cv2.INTER_AREA)

    def _moved(self, dy: float, dx: float, inside: Inside | None = None) -> np.ndarray:
        y, x = inside or self._inside
        middle = (x.start + x.stop - 1) / 2 - dx, (y.start + y.stop - 1) / 2 - dy
        return cv2.getRectSubPix(self._older, (x.stop - x.start, y.stop - y.start), middle)


def _one_more(inside: Inside) -> Inside:
    y, x = inside
    return slice(y.start - 1, y.stop + 1), slice(x.start - 1, x.stop + 1)


def _slopes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences of all but the border, y and x."""
    return (image[2:, 1:-1] - image[:-2, 1:-1]) / 2, (image[1:-1, 2:] - image[1:-1, :-2]) / 2


def _sum(a: np.ndarray, b: np.ndarray) -> float:
    """Of the products of two images; not by BLAS, whose threads would take the cores from the engine."""
    return float(np.einsum("ij,ij", a, b))


class NumpyKernels:
    """See Kernels."""

    def pair(self, older: np.ndarray, newer: np.ndarray, inside: Inside) -> Pair:
        """See Kernels."""
        return NumpyPair(older, newer, inside)

    def whitened(self, newer: np.ndarray, older: np.ndarray) -> np.ndarray | None:
        """See Kernels."""
        cross = newer * np.conj(older)
        strength = np.abs(cross)
        floor = float(strength.mean())
        if not np.isfinite(floor) or floor <= 0:
            return None
        strength += floor
        cross *= np.reciprocal(strength, out=strength)
        return cross


class _Pair(ctypes.Structure):
    """As in registration.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("older", "newer")),
        *((name, ctypes.c_int32) for name in ("height", "width", "top", "bottom", "left", "right")),
    )


class NativePair:
    """Of native/registration.c."""

    def __init__(self, library: ctypes.CDLL, older: np.ndarray, newer: np.ndarray, inside: Inside) -> None:
        y, x = inside
        self._library, self._held, self._shape = library, (older, newer), (y.stop - y.start, x.stop - x.start)
        self._pair = _Pair(older.ctypes.data, newer.ctypes.data, *newer.shape, y.start, y.stop, x.start, x.stop)
        self._sums = (ctypes.c_double * 4)()

    def slopes(self) -> np.ndarray:
        """See Pair."""
        self._library.irdim_slopes(ctypes.byref(self._pair), self._sums)
        yy, yx, xx, _ = self._sums
        return np.array([[yy, yx], [yx, xx]])

    def residual(self, dy: float, dx: float) -> tuple[np.ndarray, float]:
        """See Pair."""
        _check(self._library.irdim_residual(ctypes.byref(self._pair), dy, dx, self._sums))
        by_y, by_x, square, alone = self._sums
        pixels = self._shape[0] * self._shape[1]
        return np.array([by_y, by_x]), square / pixels - (alone / pixels) ** 2

    def shared(self, dy: float, dx: float) -> np.ndarray:
        """See Pair."""
        _check(self._library.irdim_shared(ctypes.byref(self._pair), dy, dx, self._sums))
        yy, yx, xy, xx = self._sums
        return np.array([[yy, (yx + xy) / 2], [(yx + xy) / 2, xx]])

    def gain(self, dy: float, dx: float, side: int) -> np.ndarray:
        """See Pair."""
        cells = np.empty((self._shape[0] // side, self._shape[1] // side), np.float32)
        _check(self._library.irdim_gain(ctypes.byref(self._pair), dy, dx, side, cells.ctypes.data))
        return cells


def _check(failed: int) -> None:
    if failed:
        raise MemoryError("no memory for registration")


class NativeKernels:
    """See Kernels."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def pair(self, older: np.ndarray, newer: np.ndarray, inside: Inside) -> Pair:
        """See Kernels."""
        return NativePair(self._library, older, newer, inside)

    def whitened(self, newer: np.ndarray, older: np.ndarray) -> np.ndarray | None:
        """See Kernels."""
        cross = np.empty_like(newer)
        floor = self._library.irdim_whitened(newer.ctypes.data, older.ctypes.data, newer.size, cross.ctypes.data)
        return cross if 0 < floor < np.inf else None


@functools.cache
def the_kernels() -> Kernels:
    """The compiled ones, or NumPy's where these cannot be had or compute something else."""
    plain = NumpyKernels()
    library = sound_library(
        lambda library: difference(NativeKernels(library), plain), SAME, "registration runs in NumPy and OpenCV"
    )
    return plain if library is None else NativeKernels(library)


def difference(one: Kernels, other: Kernels) -> float:
    """The most that two differ by on a small pair of images, over the largest of each kind of sum."""
    rng = np.random.default_rng(0)
    older, newer = rng.normal(0, 40, (2, 41, 53)).astype(np.float32)
    spectra = [np.fft.rfft2(image).astype(np.complex64) for image in (older, newer)]

    def all_of(some: Kernels) -> list[np.ndarray]:
        pair = some.pair(older, newer, (slice(3, 38), slice(1, 52)))
        sums, variance = pair.residual(0.3, -4.6)
        whitened = some.whitened(*spectra)
        shared = pair.shared(0.3, -0.6)
        return [pair.slopes(), sums, np.array([variance]), shared, pair.gain(-7.25, 1.5, 4), np.asarray(whitened)]

    # by NumPy's max, which what is no number passes through
    return float(
        np.max([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(all_of(one), all_of(other), strict=True)])
    )
