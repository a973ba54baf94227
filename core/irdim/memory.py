"""How the process treats the memory of arrays that it has freed."""

import contextlib
import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt, see malloc.h of the GNU C library
KEPT = 1 << 28  # bytes of freed memory that are not given back
LARGEST = 1 << 25  # bytes of an array that may lie there


def keep_freed_memory() -> None:
    """Let arrays the size of a frame reuse what the last one left: the system zeroes every page that it hands out anew, which takes as long as a
    step of differencing. Does nothing where the C library is another."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(TRIM_THRESHOLD, KEPT)
        library.mallopt(MMAP_THRESHOLD, LARGEST)
