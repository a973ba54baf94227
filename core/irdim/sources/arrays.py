"""Arrays of .npy files, mapped: nothing is allocated for what a header only claims."""

import tokenize
from pathlib import Path

import numpy as np

# what NumPy raises at a header that was tampered with
READ_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    OverflowError,
    SyntaxError,
    TypeError,
    RecursionError,
    tokenize.TokenError,
)


def map_array(path: Path) -> np.ndarray:
    """Read-only memory map of a .npy file, or what else np.load makes of the file. No pickles. Raises READ_ERRORS."""
    with np.errstate(over="ignore"):  # of a claimed shape; what is mapped is held against the file's size
        return np.load(path, mmap_mode="r", allow_pickle=False)
