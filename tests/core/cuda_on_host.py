"""A CUDA device made of the host's own memory and compiler: what irdim.cuda asks of pycuda, with differencing.cu compiled by g++.

It shows that the kernels compute what they should and that their launches fit them. It does not show how a GPU orders or rounds.
"""

import contextlib
import ctypes
import struct
import subprocess
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from irdim.cuda.compiler import DEFINES, source
from irdim.cuda.kernels import ARGUMENTS

HEADER = Path(__file__).with_name("cuda_on_host.hpp")


def compile_on_host(folder: Path) -> Path:
    """differencing.cu as a shared library, with a function run_NAME for every kernel."""
    runs = [
        f'extern "C" int run_{name}(const int* g, const int* b, const char* a) {{ return run_grid({name}, g, b, a); }}'
        for name in ARGUMENTS
    ]
    code, library = folder / "differencing.cpp", folder / "differencing.so"
    code.write_text("\n".join([f'#include "{HEADER}"', source(), *runs]))
    flags = ["-O2", "-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", *(f"-D{k}={v}" for k, v in DEFINES.items())]
    subprocess.run(["g++", *flags, "-o", library, code], check=True)
    return library


class HostStream:
    handle = 0

    def synchronize(self) -> None:
        """Everything is done when its call returns."""


class HostEvent(HostStream):
    def __init__(self, flags: int = 0) -> None:
        self.flags = flags

    def record(self, stream: HostStream) -> None:
        """Nothing is under way."""


class HostAllocation:
    """Memory full of ones, so that nothing may rely on zeros."""

    def __init__(self, size: int, faults: list[str]) -> None:
        self.memory = np.full(size + 64, 255, np.uint8)
        self._size, self._faults = size, faults

    def __int__(self) -> int:
        return self.memory.ctypes.data

    def __del__(self) -> None:
        if (self.memory[self._size :] != 255).any():
            self._faults.append(f"written beyond the end of {self._size} bytes")


class HostModule:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def get_function(self, name: str) -> "HostFunction":
        return HostFunction(getattr(self._library, f"run_{name}"), self)


class HostFunction:
    def __init__(self, function: ctypes._CFuncPtr, module: HostModule) -> None:
        self._function, self._module = function, module

    def prepare(self, arguments: str) -> None:
        self._arguments = arguments

    def prepared_async_call(self, grid: tuple, block: tuple, stream: HostStream, *arguments: object) -> None:
        packed = struct.pack(self._arguments, *arguments)
        three = ctypes.c_int * 3
        read = self._function(three(*grid), three(*block), packed)
        assert read == len(packed), f"the kernel takes {read} bytes of arguments, not {len(packed)}"


class HostCuda:
    """Of pycuda.driver what irdim.cuda uses. allocated: how often memory was made; held: what is there; faults: what was written beyond its memory's end, or
    dropped while the context was not current, which pycuda would leave on the GPU."""

    Context = types.SimpleNamespace(synchronize=lambda: None)
    host_alloc_flags = types.SimpleNamespace(DEVICEMAP=2)
    event_flags = types.SimpleNamespace(DISABLE_TIMING=2)

    class Error(Exception):
        """pycuda.driver.Error."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self.allocated = self.held = self.current = 0
        self.faults: list[str] = []

    def mem_alloc(self, size: int) -> HostAllocation:
        self.allocated += 1
        return self._watched(HostAllocation(size, self.faults))

    def Stream(self) -> HostStream:
        return self._watched(HostStream())

    def Event(self, flags: int = 0) -> HostEvent:
        return self._watched(HostEvent(flags))

    def pagelocked_empty(self, shape: tuple, dtype: np.dtype, mem_flags: int = 0) -> np.ndarray:
        return self._watched(np.empty(shape, dtype))

    def module_from_buffer(self, cubin: bytes) -> HostModule:
        if cubin[:4] != b"\x7fELF":
            raise self.Error("device kernel image is invalid")
        return self._watched(HostModule(self._library))

    def _watched(self, owned: Any) -> Any:
        self.held += 1
        weakref.finalize(owned, self._dropped, type(owned).__name__).atexit = False
        return owned

    def _dropped(self, name: str) -> None:
        self.held -= 1
        if not self.current:
            self.faults.append(f"a {name} dropped without the context")

    def memcpy_htod(self, address: int, array: np.ndarray) -> None:
        assert array.flags.c_contiguous
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def memcpy_htod_async(self, address: int, array: np.ndarray, stream: HostStream) -> None:
        self.memcpy_htod(address, array)

    def memcpy_dtoh(self, array: np.ndarray, address: int) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def memset_d32_async(self, address: int, value: int, count: int, stream: HostStream) -> None:
        ctypes.memset(address, value, 4 * count)


class HostGpu:
    """An irdim.engines.tensorrt.Gpu."""

    name, architecture = "the host", "sm_87"

    def __init__(self, library: Path) -> None:
        self.cuda = HostCuda(library)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        self.cuda.current += 1
        try:
            yield
        finally:
            self.cuda.current -= 1
