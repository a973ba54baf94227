"""The CUDA device. pycuda is imported when one is opened."""

import contextlib
from collections.abc import Iterator

from irdim.errors import InputError


class Gpu:
    """The first CUDA device and its primary context, which other libraries of the process share. name: with its compute capability; architecture: that as
    CUDA's compilers write it, such as sm_87."""

    def __init__(self) -> None:
        """Raises InputError where there is no pycuda or no device."""
        try:
            import pycuda.driver as cuda
        except ImportError as error:
            raise InputError(
                f"pycuda cannot be imported ({error}); install irdim[jetson], or take --engine onnxruntime"
            ) from None
        try:
            cuda.init()
            device = cuda.Device(0)
        except cuda.Error as error:
            raise InputError(f"no CUDA device ({error}); take --engine onnxruntime") from None
        self.cuda = cuda
        major, minor = device.compute_capability()
        self.name, self.architecture = f"{device.name()} {major}.{minor}", f"sm_{major}{minor}"
        self._context = device.retain_primary_context()

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """The context is this thread's within."""
        self._context.push()
        try:
            yield
        finally:
            self.cuda.Context.pop()


class OnGpu:
    """Base of what holds pycuda's or TensorRT's objects, even ones that others hold as well: it drops them with the context current, whichever thread drops
    it. Elsewhere pycuda says nothing and never frees them, and a daemon that takes over bundles would fill the board's memory."""

    gpu: Gpu

    def __del__(self) -> None:
        with contextlib.suppress(Exception), self.gpu.current():  # at the process's end the driver may be gone before
            vars(self).clear()
