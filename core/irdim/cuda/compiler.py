"""differencing.cu to machine code for one GPU, by NVRTC: CUDA's compiler as a library, which wants no host compiler beside it and no GPU."""

import contextlib
import ctypes
import hashlib
import json
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from irdim import noise
from irdim.differencing import HIGH_PASS_RADIUS, KNEE
from irdim.errors import InputError
from irdim.files import atomic_file

NAMES = ("libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2")
MOST_BINS = 544  # of the noise scale's histogram: 2 (4 * 64 + 8) + 1 are wanted, and a few for rounding
STRIP = (
    32  # rows that one thread adds up in the high-pass; fewer repeat more, more leave too few threads for a small frame
)
DEFINES = {
    "HIGH_PASS_RADIUS": HIGH_PASS_RADIUS,
    "KNEE": f"{KNEE}f",
    "FLOOR": noise.FLOOR,
    "QUARTILE": noise.QUARTILE,
    "TAIL": noise.TAIL,
    "NOISY": noise.NOISY,
    "SHEPPARD": noise.SHEPPARD,
    "MOST_BINS": MOST_BINS,
    "STRIP": STRIP,
}


@dataclass(frozen=True)
class Nvrtc:
    """One NVRTC. version: (major, minor) of its CUDA; architectures: what it compiles for, such as 'sm_87'."""

    library: Any
    path: str
    version: tuple[int, int]
    architectures: tuple[str, ...]


@dataclass(frozen=True)
class Compiled:
    """cubin: what a GPU of the architecture loads; ptx: the same as text."""

    cubin: bytes
    ptx: str


def source() -> str:
    """The text of differencing.cu."""
    return (files("irdim.cuda") / "differencing.cu").read_text()


def kernels_for(architecture: str, cache: Path) -> bytes:
    """The kernels as a GPU of the architecture loads them: from the cache, else compiled now, which takes seconds, and kept there. Raises InputError where
    they cannot be compiled."""
    kept = kept_kernels(architecture, cache)
    if kept.is_file():
        return kept.read_bytes()
    cubin = compile_kernels(nvrtc_for(architecture), architecture).cubin
    with contextlib.suppress(OSError), atomic_file(kept) as file:  # it runs without
        file.write(cubin)
    return cubin


def kept_kernels(architecture: str, cache: Path) -> Path:
    """Where they are kept: under all that makes them, this machine's NVRTC included, since a driver may not take what a newer one made. Raises InputError
    where there is none."""
    made_of = [source(), _options(architecture), nvrtc_for(architecture).version]
    return cache / f"{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]}.cubin"


def compile_kernels(nvrtc: Nvrtc, architecture: str) -> Compiled:
    """architecture: 'sm_87', ... Raises InputError with the compiler's first line where it does not compile."""
    options = _options(architecture)
    library, program = nvrtc.library, ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source().encode(), b"differencing.cu", 0, None, None)
    try:
        encoded = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        if library.nvrtcCompileProgram(program, len(options), encoded):
            log = _read(library, "ProgramLog", program).decode(errors="replace").rstrip("\0").strip()
            said = log.splitlines()[0] if log else "no reason was given"
            raise InputError(f"{nvrtc.path}: differencing.cu does not compile for {architecture} ({said})")
        return Compiled(
            _read(library, "CUBIN", program), _read(library, "PTX", program).decode(errors="replace").rstrip("\0")
        )
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _options(architecture: str) -> list[str]:
    # --fmad=false: float32 is rounded after every operation, as in NumPy; else differences of interpolated frames are off by parts of a count
    return ["--fmad=false", f"--gpu-architecture={architecture}", *(f"-D{k}={v}" for k, v in DEFINES.items())]


def nvrtc_for(architecture: str) -> Nvrtc:
    """The first NVRTC of this machine that compiles for the architecture. Raises InputError where there is none."""
    seen = []
    for nvrtc in installed():
        if architecture in nvrtc.architectures:
            return nvrtc
        seen.append(f"{nvrtc.path} does not know {architecture}")
    raise InputError(
        f"no NVRTC for {architecture} ({'; '.join(seen) or 'libnvrtc is not installed'}); it comes with CUDA (package cuda-nvrtc), or from pip: "
        "nvidia-cuda-nvrtc"
    )


@lru_cache(maxsize=1)
def installed() -> tuple[Nvrtc, ...]:
    """Every NVRTC from CUDA 11.2 on that can be loaded: what the system's loader finds, then CUDA's own folder, then pip's wheels."""
    found: dict[tuple[int, int], Nvrtc] = {}
    beside = [Path("/usr/local/cuda/lib64"), *(f for p in sys.path if p for f in sorted(Path(p).glob("nvidia/*/lib")))]
    in_folders = (str(library) for folder in beside for library in sorted(folder.glob("libnvrtc.so*")))
    for path in (*NAMES, *in_folders):
        try:
            nvrtc = _load(path)
        except (OSError, AttributeError):  # not there; older
            continue
        found.setdefault(nvrtc.version, nvrtc)
    return tuple(found.values())


def _load(path: str) -> Nvrtc:
    if Path(path).is_absolute():
        for builtins in sorted(Path(path).parent.glob("libnvrtc-builtins.so.*")):
            ctypes.CDLL(str(builtins))  # pip's NVRTC 13 does not find its own
    library = ctypes.CDLL(path)
    major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    numbers = (ctypes.c_int * count.value)()
    library.nvrtcGetSupportedArchs(numbers)
    return Nvrtc(library, path, (major.value, minor.value), tuple(f"sm_{n}" for n in numbers))


def _read(library: Any, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, buffer)
    return buffer.raw
