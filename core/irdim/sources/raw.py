"""Raw counts in one file, as cameras dump them (Y16), with a JSON sidecar that says their shape."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from irdim.errors import InputError
from irdim.files import read_json
from irdim.sources.clock import check_interval, find_clock
from irdim.sources.limits import check_file_size, check_frame_size
from irdim.sources.stack import FrameFile

SUFFIXES = (".y16", ".raw")
_KEYS = ("width", "height", "bits", "depth", "interval", "header_bytes", "byte_order")
_LARGEST = 1 << 16  # pixels a side


def open_raw(path: Path, name: str, interval: float | None) -> FrameFile:
    """Open raw frames; one with a count that the stated bits cannot hold is an InputError. Times: `<stem>.times.npy` or `.csv`.

    Sidecar `<stem>.json`: width, height, bits (or depth: 8 to 16; 16 if left out), and optionally interval (s),
    header_bytes (once, at the beginning), byte_order ("little" or "big").
    """
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        raise InputError(f"{path}: raw frames need a sidecar {sidecar.name} with width, height and bits")
    check_file_size(sidecar)
    value = read_json(sidecar, "sidecar of raw frames")
    if not isinstance(value, dict):
        raise InputError(f"{sidecar}: must be an object with width, height and bits")
    if unknown := sorted(set(value) - set(_KEYS)):
        raise InputError(f"{sidecar}: unknown key '{unknown[0]}'; known are {', '.join(_KEYS)}")
    if "bits" in value and "depth" in value and value["bits"] != value["depth"]:
        raise InputError(f"{sidecar}: bits and depth contradict each other; keep one")
    width, height = (_whole(sidecar, value, key, 1, _LARGEST) for key in ("width", "height"))
    check_frame_size(sidecar, width, height)
    bits = _whole(sidecar, value, "depth" if "depth" in value else "bits", 8, 16, 16)
    header = _whole(sidecar, value, "header_bytes", 0, 1 << 40, 0)
    order = value.get("byte_order", "little")
    if order not in ("little", "big"):
        raise InputError(f"{sidecar}: byte_order must be 'little' or 'big'")
    if interval is None and value.get("interval") is not None:
        if isinstance(value["interval"], bool) or not isinstance(value["interval"], int | float):
            raise InputError(f"{sidecar}: interval must be seconds between frames")
        interval = float(value["interval"])
    check_interval(interval)
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16).newbyteorder("<" if order == "little" else ">")
    size, frame = path.stat().st_size - header, width * height * dtype.itemsize
    if size <= 0:
        raise InputError(f"{path}: holds no frame")
    if size % frame:
        raise InputError(
            f"{path}: {size % frame} bytes after {size // frame} frames; truncated, or {sidecar.name} is wrong"
        )
    clock = find_clock([path.with_name(f"{path.stem}.times{suffix}") for suffix in (".npy", ".csv")], interval)
    clock.check_length(size // frame)
    return FrameFile(name, path, (size // frame, height, width), dtype, header, clock, partial(_check_bits, path, bits))


def _check_bits(path: Path, bits: int, index: int, pixels: np.ndarray) -> None:
    if (top := int(pixels.max())) >> bits:
        sidecar = path.with_suffix(".json").name
        raise InputError(f"{path}, frame {index}: {top} is over {bits} bits; see bits, byte_order in {sidecar}")


def _whole(path: Path, value: dict[str, Any], key: str, low: int, high: int, default: int | None = None) -> int:
    number = value.get(key, default)
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise InputError(f"{path}: '{key}' must be a whole number from {low} to {high}")
    return number
