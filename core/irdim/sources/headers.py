"""What an image file says of itself, read before a decoder allocates what it asks for."""

import contextlib
import struct
import zlib
from pathlib import Path

from irdim.errors import InputError
from irdim.sources.limits import check_frame_size

_WIDTH, _HEIGHT, _CHANNELS, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 277, 322, 323  # TIFF 6.0
_SIZES = {3: "H", 4: "I"}  # TIFF's SHORT and LONG
_NO_SIZE = (0xC4, 0xC8, 0xCC)  # JPEG: Huffman tables, an extension, arithmetic conditioning lie among the frame headers


def check_image(path: Path, data: bytes) -> None:
    """Raises InputError where an image file is damaged in a way that decoders differ on, or claims to be too large.

    Some decoders give half an image for a truncated file, or the first page of several alone.
    """
    if remedy := _not_read(data):
        raise InputError(f"{path}: {remedy}")
    if problem := _damage(data):
        raise InputError(f"{path}: {problem}; copy it again or take it out")
    try:
        sizes = _sizes(data)
    except struct.error:
        raise InputError(f"{path}: truncated after {len(data)} bytes; copy it again or take it out") from None
    for width, height in sizes:
        check_frame_size(path, width, height)


def _sizes(data: bytes) -> list[tuple[int, int]]:
    """(width, height) of all that a decoder will allocate."""
    if _is_png(data):
        return [struct.unpack_from(">II", data, 16)]
    if data[:2] == b"BM":
        width, height = struct.unpack_from("<ii", data, 18)
        return [(abs(width), abs(height))]
    if data[:2] == b"\xff\xd8":
        return _jpeg_sizes(data)
    if _is_tiff(data):
        tags, _ = _tiff_directory(data)
        pairs = [(tags.get(_WIDTH, 0) * tags.get(_CHANNELS, 1), tags.get(_HEIGHT, 0))]
        if _TILE_WIDTH in tags:
            pairs.append((tags[_TILE_WIDTH] * tags.get(_CHANNELS, 1), tags.get(_TILE_HEIGHT, 0)))
        return pairs
    raise AssertionError("_damage lets no other format through")


def _damage(data: bytes) -> str:
    if not data:
        return "an empty file"
    if _is_png(data):
        return _png_damage(data)
    if data[:2] == b"BM" and len(data) >= 6 and len(data) < (size := struct.unpack_from("<I", data, 2)[0]):
        return f"truncated: {len(data)} of {size} bytes"
    if data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-1024:]:  # some cameras pad or add a little after the end
        return f"truncated after {len(data)} bytes"
    if _is_tiff(data):
        try:
            _tiff_directory(data)
        except struct.error:
            return f"truncated after {len(data)} bytes"
        return ""
    if data[:2] not in (b"BM", b"\xff\xd8"):  # a decoder might know it, we not its size
        return "corrupt or no image: it begins like no PNG, TIFF, BMP or JPEG"
    return ""


def _not_read(data: bytes) -> str:
    """What is sound, and read by nobody here."""
    if data[:4] in (b"II+\0", b"MM\0+"):
        return "a BigTIFF, which is for files over 4 GiB; save it as a plain TIFF"
    with contextlib.suppress(struct.error):  # see _damage
        if _is_tiff(data) and _tiff_directory(data)[1]:
            return "a TIFF with several pages; write each page to a file of its own"
    return ""


def _is_png(data: bytes) -> bool:
    return data[:8] == b"\x89PNG\r\n\x1a\n"


def _is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*")


def _png_damage(data: bytes) -> str:
    at = 8
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            break
        if zlib.crc32(data[at + 4 : at + 8 + size]) != struct.unpack_from(">I", data, at + 8 + size)[0]:
            return f"corrupt: checksum of its {kind.decode('latin-1')!r} part is wrong"
        if at == 8 and (kind != b"IHDR" or size != 13):
            return "corrupt: its first part is no header"
        if kind == b"IEND":
            return ""
        at += 12 + size
    return f"truncated after {len(data)} bytes"


def _jpeg_sizes(data: bytes) -> list[tuple[int, int]]:
    """Of every frame header (SOF) before the first scan."""
    sizes, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        kind = data[at + 1]
        if kind == 0xFF:  # fill bytes before a marker
            at += 1
            continue
        if 0xC0 <= kind <= 0xCF and kind not in _NO_SIZE:
            height, width = struct.unpack_from(">HH", data, at + 5)
            sizes.append((width, height))
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return sizes


def _tiff_directory(data: bytes) -> tuple[dict[int, int], bool]:
    """First values of the first page's whole-number tags, and whether there is another page."""
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(order + "I", data, 4)[0]
    entries = struct.unpack_from(order + "H", data, at)[0]
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * entries, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if kind in _SIZES:
            tags[tag] = struct.unpack_from(order + _SIZES[kind], data, entry + 8)[0]
    return tags, struct.unpack_from(order + "I", data, at + 2 + 12 * entries)[0] != 0
