"""Folders that are there whole or not at all."""

import contextlib
import fcntl
import fnmatch
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from irdim.dataset.schema import FILE
from irdim.errors import InputError

OLD = "old"  # what a staging folder calls the folder that it replaces


@contextlib.contextmanager
def staged_folder(out: Path, description: str, made_as: str, own: Sequence[str]) -> Iterator[Path]:
    """A temporary folder beside `out`, renamed to `out` on success and removed on any error.

    description, made_as: name of the JSON file at the folder's top and the `format` that it states; own: patterns of what else belongs there. An `out` that
    is there is replaced only where it holds just that, or nothing, and is an InputError otherwise.
    """
    out = Path(out)
    tidy(out)
    if out.exists() and not _is_ours(out, description, made_as):
        raise InputError(f"{out}: is there and is no {made_as}; choose another --out")
    if inside := next(out.rglob(FILE), None):  # labels are work: they are never thrown away with the folder around them
        raise InputError(f"{out}: holds the data set {inside.parent}; move that away, or choose another --out")
    if foreign := _foreign(out, [description, *own]):
        raise InputError(
            f"{out}: would be replaced, and {foreign[0]} in it is not of irdim; move that away, or choose another --out"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        folder.chmod(0o755)
        yield folder
        if out.exists():
            aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
            out.rename(aside / OLD)
            folder.rename(out)
            shutil.rmtree(aside)
        else:
            folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(held)


@contextlib.contextmanager
def held_folder(folder: Path, refusal: str) -> Iterator[None]:
    """Hold a folder that is there for this process, whatever ends it. Raises InputError with `refusal` where another one holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: {refusal}") from None
        yield
    finally:
        os.close(handle)


def _is_ours(out: Path, description: str, made_as: str) -> bool:
    if not out.is_dir():
        return False
    if not any(out.iterdir()):
        return True
    try:
        return bool(json.loads((out / description).read_text())["format"] == made_as)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _foreign(out: Path, own: Sequence[str]) -> list[str]:
    """Names at the top of a folder that is there which irdim did not write."""
    names = sorted(path.name for path in out.iterdir() if not is_left(path)) if out.is_dir() else []
    return [name for name in names if not any(fnmatch.fnmatchcase(name, pattern) for pattern in own)]


def is_left(path: Path) -> bool:
    """Whether a file is what a kill in mid-write left (irdim.files.atomic_file)."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def tidy(out: Path) -> None:
    """After a kill: put back what was about to be replaced, and remove staging folders that no process holds."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.????????.partial"):
        with contextlib.suppress(OSError):
            held = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if (left / OLD).exists() and not out.exists():
                    (left / OLD).rename(out)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(held)
