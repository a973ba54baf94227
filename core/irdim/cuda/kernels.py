"""irdim.differencing.network_input on the GPU: the kernels of differencing.cu, one after the other on one stream, in memory that is made once."""

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from irdim.cache import default_cache
from irdim.cuda.compiler import MOST_BINS, STRIP, kept_kernels, kernels_for
from irdim.cuda.gpu import Gpu, OnGpu
from irdim.cuda.memory import DeviceMemory, GpuImage, GpuImages
from irdim.cuda.ring import FrameRing
from irdim.differencing import NO_SHIFT, STACK, InputSpec, difference_planes, whole_pixels
from irdim.errors import InputError
from irdim.noise import SAMPLE, pixel_stride

BLOCK = (32, 8, 1)  # threads along x and y; a row of 32 reads neighbouring pixels
LINE = (128, 1, 1)  # threads along a list
STACK_ARGUMENTS = "iiiff" * STACK  # struct Stack, flat: its members are all of four bytes
SIZE, SAMPLE_ARGUMENTS = "ii", "iiii"
ARGUMENTS = {
    "planes_8": STACK_ARGUMENTS + SIZE + SAMPLE_ARGUMENTS + "iPPP",
    "planes_16": STACK_ARGUMENTS + SIZE + SAMPLE_ARGUMENTS + "iPPP",
    "column_sums": SIZE + "PP",
    "high_pass": SIZE + SAMPLE_ARGUMENTS + "iPPP",
    "quartiles": SAMPLE_ARGUMENTS + "PP",
    "histogram": SAMPLE_ARGUMENTS + "PPP",
    "noise": SAMPLE_ARGUMENTS + "iiPPP",
    "scale": SIZE + SIZE + "PPP",
}


class Kernels(OnGpu):
    """The functions of differencing.cu for this machine's GPU, by their names, called with grid, block, stream and arguments."""

    def __init__(self, gpu: Gpu, cache: Path | None = None) -> None:
        """cache: folder of what was compiled before, that of the engines where it is None. Raises InputError where there is no NVRTC for the GPU, or the
        driver does not take what it made."""
        self.gpu, cache = gpu, cache or default_cache()
        cubin = kernels_for(gpu.architecture, cache)
        with gpu.current():
            try:
                module = gpu.cuda.module_from_buffer(cubin)
            except gpu.cuda.Error as error:
                with contextlib.suppress(OSError):
                    kept_kernels(gpu.architecture, cache).unlink(missing_ok=True)
                raise InputError(
                    f"the compiled kernels do not load on {gpu.name} ({error}); the next start compiles them anew; NVRTC must not be newer than the driver"
                ) from None
            self._functions = {name: module.get_function(name) for name in ARGUMENTS}
            for name, arguments in ARGUMENTS.items():
                self._functions[name].prepare(arguments)

    def launch(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], stream: Any, *arguments: Any) -> None:
        self._functions[name].prepared_async_call(grid, block, stream, *arguments)


class NetworkInput:
    """The input step for frames of one size. Everything is queued on the stream: nothing here waits."""

    def __init__(self, kernels: Kernels, stream: Any, spec: InputSpec, stride: int, shape: tuple[int, int]) -> None:
        """stride: of the network, to multiples of which its input is padded; shape: (H, W) of the frames."""
        self._gpu = gpu = kernels.gpu
        self._kernels, self._stream, self._spec, self._size = kernels, stream, spec, shape
        height, width = shape
        self._padded = (height + -height % stride, width + -width % stride)
        channels, pixels = spec.channels, height * width
        every = pixel_stride(shape)
        count = -(-pixels // every)
        step = count // SAMPLE | 1
        self._sample = (every, count, step, -(-count // step))
        self._counts, self._sums, self._values, self._ordered, self._bins, self._sigmas = (
            DeviceMemory(gpu, channels * size) for size in (4 * pixels, 8 * pixels, 4 * count, 4 * 6, 4 * MOST_BINS, 4)
        )
        self._images = GpuImages(gpu, (channels, *self._padded))

    def run(self, ring: FrameRing, shifts: np.ndarray = NO_SHIFT, sigma: np.ndarray | None = None) -> GpuImage:
        """The input made of the ring's newest frame and the older ones that belong to it. shifts: (3, 2), as of irdim.differencing.align; sigma: (C,)
        counts, estimated on the GPU where it is None. Call it with the context current."""
        spec, size, sample = self._spec, self._size, self._sample
        channels, differences = spec.channels, difference_planes(spec)
        counts, sums, values = self._counts.address, self._sums.address, self._values.address
        stack = self._stack(ring, shifts if spec.register else NO_SHIFT)
        planes = "planes_8" if ring.dtype == np.uint8 else "planes_16"
        self._over_pixels(planes, size, *stack, *size, *sample, differences, ring.address, counts, values)
        self._over_pixels("column_sums", (-(-size[0] // STRIP), size[1]), *size, counts, sums)
        self._over_pixels("high_pass", size, *size, *sample, differences, sums, counts, values)
        if sigma is None:
            self._estimate(channels, differences)
        else:
            self._gpu.cuda.memcpy_htod(self._sigmas.address, np.ascontiguousarray(sigma, np.float32))
        image = self._images.take()
        self._over_pixels(
            "scale", self._padded, *size, *self._padded, counts, self._sigmas.address, image.memory.address
        )
        return image

    def sigma(self) -> np.ndarray:
        """(C,) float32 counts, of the last run; waits for everything on the GPU."""
        sigma = np.empty(self._spec.channels, np.float32)
        self._gpu.cuda.Context.synchronize()
        self._gpu.cuda.memcpy_dtoh(sigma, self._sigmas.address)
        return sigma

    def _estimate(self, channels: int, differences: int) -> None:
        _, count, _, rough = self._sample
        values, ordered, bins = self._values.address, self._ordered.address, self._bins.address
        self._over_list("quartiles", rough, channels, *self._sample, values, ordered)
        self._gpu.cuda.memset_d32_async(bins, 0, channels * MOST_BINS, self._stream)
        self._over_list("histogram", count, channels, *self._sample, values, ordered, bins)
        self._over_list("noise", channels, 1, *self._sample, channels, differences, ordered, bins, self._sigmas.address)

    def _stack(self, ring: FrameRing, shifts: np.ndarray) -> list[int | float]:
        """struct Stack, flat."""
        placed: list[int | float] = []
        for k in range(STACK):
            dy, dx = np.zeros(2, np.float32) if k == 0 else np.asarray(shifts, np.float32)[k - 1]
            whole_y, whole_x = whole_pixels(dy), whole_pixels(dx)
            parts = float(np.float32(dy - whole_y)), float(np.float32(dx - whole_x))
            placed += [ring.slot(k * self._spec.frame_step), whole_y, whole_x, *parts]
        return placed

    def _over_pixels(self, name: str, size: tuple[int, int], *arguments: Any) -> None:
        grid = (-(-size[1] // BLOCK[0]), -(-size[0] // BLOCK[1]), self._spec.channels)
        self._kernels.launch(name, grid, BLOCK, self._stream, *arguments)

    def _over_list(self, name: str, count: int, rows: int, *arguments: Any) -> None:
        self._kernels.launch(name, (math.ceil(count / LINE[0]), rows, 1), LINE, self._stream, *arguments)
