"""The file around a field log: a zip of JSON and .npy members, a name with its digest, the device's signature. Reading trusts nothing.

Bounds hold before anything is inflated, and only stored and deflated members are taken: another method's window alone may take gigabytes.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from irdim.errors import InputError
from irdim.signing import Signer, signature_of, signed_by

SUFFIX, SIGNATURE = ".irlog", "signature.json"
MOST_FILE = 256 << 20  # bytes a log file may have
MOST_JSON = 4 << 20  # bytes of its description, inflated
NAME = re.compile(r"\d{8}T\d{9}Z-[a-z_]{1,40}-[0-9a-f]{16}\.irlog")
_MEMBERS, _DIRECTORY = 4, 1024  # most members, and bytes of the zip's central directory
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, struct.error)


def pack(
    description: Mapping[str, Any], name: str, members: Mapping[str, bytes], kind: str, signer: Signer | None
) -> tuple[str, bytes]:
    """File name and bytes of a log: `description` as the member `name`, signed, and the other members, whose digests it holds.

    The name is <time>-<kind>-<sha256[:16]>.irlog. Equal input gives equal bytes.
    """
    text = json.dumps({**description, "device_key": signer.device_key if signer else None}, allow_nan=False).encode()
    contents = {name: text, **members}
    if signer:
        contents[SIGNATURE] = json.dumps(signature_of(text, signer)).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        for member, data in contents.items():
            file.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    data = packed.getvalue()
    if len(data) > MOST_FILE:
        raise InputError(f"a {kind} log of {len(data)} bytes; at most {MOST_FILE}: keep a crop, or fewer frames")
    stamp = re.sub(r"\D", "", description["time"])
    return f"{stamp[:8]}T{stamp[8:]}Z-{kind}-{hashlib.sha256(data).hexdigest()[:16]}{SUFFIX}", data


def utc(at: datetime) -> str:
    """A time as logs state it: UTC, ISO 8601, to the millisecond. Raises InputError without a time zone."""
    if at.tzinfo is None:
        raise InputError(f"{at}: a time without its time zone; logs are in UTC")
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(text: object) -> datetime:
    """Raises ValueError unless it is a time as `utc` writes it."""
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text):
        raise ValueError(f"{str(text)[:40]!r} is not a UTC time such as 2026-03-04T05:06:07.089Z")
    return datetime.fromisoformat(f"{text[:-1]}+00:00")


def digest_in(name: str) -> str:
    """The first 16 hex digits of the digest, as a log's file name states them. Raises InputError where it is no such name."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name}: not the name of a field log (<time>-<kind>-<digest>{SUFFIX})")
    return name[-len(SUFFIX) - 16 : -len(SUFFIX)]


def kind_in(name: str) -> str:
    """The kind that a log's file name states. Raises InputError where it is no such name."""
    digest_in(name)
    return name.split("-")[1]


@dataclass(frozen=True)
class Opened:
    """A log whose digest and signature are right. text: its description; device_key: whose signature it bears, or None; members: names."""

    path: Path
    digest: str
    text: bytes
    device_key: str | None
    members: Collection[str]
    _zip: zipfile.ZipFile

    @property
    def manifest(self) -> str:
        """SHA-256 of the description: the log's identity, however it is zipped."""
        return hashlib.sha256(self.text).hexdigest()

    def read(self, name: str, most: int) -> bytes:
        """A member, of at most so many bytes."""
        return _member(self.path, self._zip, name, most)


@contextlib.contextmanager
def open_log(path: Path, name: str, others: Collection[str]) -> Iterator[Opened]:
    """Open a log whose description is the member `name`. others: members that it may have besides.

    Raises InputError, saying what is wrong with it.
    """
    path, stated = Path(path), digest_in(Path(path).name)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise InputError(f"{path}: there is no such field log ({error.strerror})") from None
        digest = _digest(path, file)
        if not digest.startswith(stated):
            raise InputError(f"{path}: its digest is not the one in its name; truncated or changed, fetch it again")
        try:
            _check_directory(file)
            members = stack.enter_context(zipfile.ZipFile(file))
        except (*_ZIP_ERRORS, ValueError) as error:
            raise InputError(f"{path}: not a readable zip ({error})") from None
        names = members.namelist()
        if name not in names or len(set(names)) != len(names) or set(names) - {name, SIGNATURE, *others}:
            raise InputError(f"{path}: holds other files than a field log does")
        text = _member(path, members, name, MOST_JSON)
        key = _signed_by(path, members, text) if SIGNATURE in names else None
        yield Opened(path, digest, text, key, names, members)


def parse(path: Path, text: bytes) -> dict[str, Any]:
    """A JSON object in which no key comes twice and no number is infinite or NaN. Raises InputError."""
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its description is not JSON ({str(error)[:200]})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: not an irdim field log")
    return value


def _digest(path: Path, file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    if size > MOST_FILE:
        raise InputError(f"{path}: {size} bytes; a field log has at most {MOST_FILE}")
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _check_directory(file: IO[bytes]) -> None:
    """zipfile makes an object of each member before anybody can count them: this looks at what the zip's end says. Raises ValueError."""
    file.seek(0, os.SEEK_END)
    tail = min(file.tell(), 42)
    file.seek(-tail, os.SEEK_END)
    end = file.read(tail)
    if end[-22:-18] != b"PK\x05\x06" or end[:4] == b"PK\x06\x07":
        raise ValueError("no plain end of a zip")
    members, size = struct.unpack("<HL", end[-12:-6])
    if members > _MEMBERS or size > _DIRECTORY:
        raise ValueError(f"{members} members in a directory of {size} bytes")


def _member(path: Path, file: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member's bytes; no more than `most` of them are ever inflated, whatever the zip says of itself."""
    try:
        info = file.getinfo(name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{path}: its {name} is compressed by method {info.compress_type}; only deflate is read")
        if info.file_size > most:
            raise InputError(f"{path}: its {name} would inflate to more than {most} bytes; refused")
        with file.open(name) as member:
            data = member.read(most + 1)
    except (*_ZIP_ERRORS, KeyError) as error:
        raise InputError(f"{path}: its {name} is damaged ({str(error)[:200]})") from None
    if len(data) > most:
        raise InputError(f"{path}: its {name} inflates to more than {most} bytes; refused")
    return data


def _signed_by(path: Path, file: zipfile.ZipFile, text: bytes) -> str:
    """The key that signed `text`. Raises InputError where the signature is wrong."""
    key = signed_by(parse(path, _member(path, file, SIGNATURE, 4096)), text)
    if key is None:
        raise InputError(f"{path}: its signature is wrong; it was changed, or signed by somebody else")
    return key


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not allowed")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key comes twice")
    return value
