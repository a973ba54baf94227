"""differencing.c and registration.c to a shared library for this very CPU, by its own C compiler, kept in the user's cache. Nothing of it has to be there."""

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from irdim.cache import user_cache
from irdim.differencing import HIGH_PASS_RADIUS, KNEE
from irdim.files import atomic_file

logger = logging.getLogger("irdim.native")
# read with this module, so that a package that is renewed meanwhile does not come in between
SOURCES = {name: (files("irdim.native") / name).read_text() for name in ("differencing.c", "registration.c")}
COMPILERS = ("cc", "gcc", "clang")
# no contraction: a fused multiply-add rounds once where NumPy rounds twice
FLAGS = (
    "-std=c11",
    "-O3",
    "-march=native",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fopenmp-simd",
    "-shared",
    "-fPIC",
)
DEFINES = (f"-DHIGH_PASS_RADIUS={HIGH_PASS_RADIUS}", f"-DKNEE={KNEE}f")
SECONDS = 60  # after which a compiler is given up


class Unavailable(Exception):
    """Why there is no compiled library; the message is for people."""


def compile_native(cache: Path | None = None) -> ctypes.CDLL:
    """The library, compiled where the cache does not hold it. Raises Unavailable where it cannot be made or loaded."""
    key = hashlib.sha256("\n".join([*SOURCES.values(), *FLAGS, *DEFINES, _cpu()]).encode()).hexdigest()
    try:
        path = (cache or user_cache() / "native") / f"irdim-{key[:32]}.so"
    except RuntimeError as error:  # no home folder
        raise Unavailable(str(error)) from None
    library = _load(path) or _compile(path)
    pointer, number, real = ctypes.c_void_p, ctypes.c_int, ctypes.c_double
    library.irdim_channel.argtypes = [pointer] * 2 + [number] * 5 + [pointer] * 2 + [number]
    library.irdim_compress.argtypes = [pointer, number, number, number, ctypes.c_float]
    library.irdim_compress.restype = None
    library.irdim_histogram.argtypes = [pointer, number, ctypes.c_float, ctypes.c_float, number, pointer]
    library.irdim_patches.argtypes = [pointer, number, number]
    library.irdim_slopes.argtypes = [pointer, pointer]
    library.irdim_slopes.restype = None
    library.irdim_residual.argtypes = [pointer, real, real, pointer]
    library.irdim_shared.argtypes = [pointer, real, real, pointer]
    library.irdim_gain.argtypes = [pointer, real, real, number, pointer]
    library.irdim_whitened.argtypes = [pointer, pointer, number, pointer]
    library.irdim_whitened.restype = ctypes.c_float
    return library


@functools.cache
def own_library() -> ctypes.CDLL | Unavailable:
    """`compile_native` with the user's cache, or why there is none, once in a process: what cannot be kept, or takes a minute to fail, is not tried again."""
    try:
        return compile_native()
    except (Unavailable, OSError) as error:
        return Unavailable(str(error))


def sound_library(difference: Callable[[ctypes.CDLL], float], most: float, otherwise: str) -> ctypes.CDLL | None:
    """The library; or nothing, and in the log `otherwise` and why, where it cannot be had or its difference to NumPy is not at most `most`."""
    try:
        library = own_library()
        if isinstance(library, Unavailable):
            raise library
        off = difference(library)
        if not off <= most:
            raise Unavailable(f"what was compiled differs from NumPy by {off:.2g}")
        return library
    except Exception as error:  # whatever it is, NumPy does the same
        logger.info("%s: %s", otherwise, error)
        return None


def _load(path: Path) -> ctypes.CDLL | None:
    """Nothing where it is not there, damaged, or may not be run from there."""
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def _compile(keep: Path) -> ctypes.CDLL:
    """Compiled and loaded; kept for the next start where that is possible."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", ""), *COMPILERS))), None)
    if compiler is None:
        raise Unavailable("there is no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / keep.name
        for name, text in SOURCES.items():
            (Path(folder) / name).write_text(text)
        command = [compiler, *FLAGS, *DEFINES, "-o", str(made), *(str(Path(folder) / name) for name in SOURCES), "-lm"]
        try:
            done = subprocess.run(
                command, capture_output=True, errors="replace", timeout=SECONDS, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{compiler} did not end within {SECONDS} s") from None
        if done.returncode:
            said = (done.stderr.strip() or "without a word").splitlines()
            raise Unavailable(f"{compiler} fails: {next((line for line in said if 'error' in line), said[-1])}")
        with contextlib.suppress(OSError), atomic_file(keep) as file:  # a disk that is full or read-only
            file.write(made.read_bytes())
        return _load(keep) or ctypes.CDLL(str(made))  # nothing may be run from some temporary folders


@functools.cache
def _cpu() -> str:
    """What -march=native and the library depend on: a home folder may serve several machines."""
    words = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return "\n".join(
        [
            platform.machine(),
            platform.processor(),
            *platform.libc_ver(),
            *sorted({line for line in lines if line.startswith(words)}),
        ]
    )
