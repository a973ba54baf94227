"""How large a frame and a small file beside frames may be: what a file only claims to hold must not fill the memory."""

from pathlib import Path

from irdim.errors import InputError

LARGEST_FRAME = 1 << 26  # pixels: 8192 x 8192, far beyond infrared sensors; 128 MiB of 16 bits
LARGEST_SIDECAR = 1 << 26  # bytes


def check_frame_size(path: Path, width: int, height: int) -> None:
    """Raises InputError where a frame of that size has no pixel, or too many to be held."""
    if width < 1 or height < 1:
        raise InputError(f"{path}: {width}x{height} pixels; corrupt, copy it again or take it out")
    if width * height > LARGEST_FRAME:
        raise InputError(
            f"{path}: says that it is {width}x{height}; frames of more than {LARGEST_FRAME >> 20} megapixels are not read"
        )


def check_file_size(path: Path, most: int = LARGEST_SIDECAR) -> None:
    """Raises InputError where a file that is read whole has more than `most` bytes."""
    if (size := path.stat().st_size) > most:
        raise InputError(f"{path}: {size >> 20} MiB; no more than {most >> 20} MiB are read, split or correct it")
