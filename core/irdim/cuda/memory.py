"""Memory on the GPU, and the network's inputs, which are used again."""

import math
from dataclasses import dataclass, field

import numpy as np

from irdim.cuda.gpu import Gpu, OnGpu
from irdim.errors import InputError


class DeviceMemory(OnGpu):
    """Bytes on the GPU. address: where."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        """Raises InputError where the GPU has no room."""
        self.gpu = gpu
        with gpu.current():
            try:
                self._allocation = gpu.cuda.mem_alloc(size)
            except gpu.cuda.MemoryError:
                raise InputError(
                    f"{gpu.name} has no {size >> 20} MB left for the input step; end what else runs on it, or take --engine onnxruntime"
                ) from None
        self.address = int(self._allocation)


@dataclass(frozen=True, eq=False)
class GpuImage:
    """What the network reads, on the GPU: (C, H, W) float32, padded. Filled by its stream, so what comes later on the same stream finds it complete."""

    gpu: Gpu
    shape: tuple[int, int, int]
    memory: DeviceMemory
    pool: list[DeviceMemory] = field(repr=False)

    def __del__(self) -> None:
        self.pool.append(self.memory)

    def to_host(self) -> np.ndarray:
        """(C, H, W) float32, a copy; waits for everything on the GPU."""
        image = np.empty(self.shape, np.float32)
        with self.gpu.current():
            self.gpu.cuda.Context.synchronize()
            self.gpu.cuda.memcpy_dtoh(image, self.memory.address)
        return image


class GpuImages:
    """Gives images of one shape. The memory of one that nobody holds any more is used again: as many are made as are held at once."""

    def __init__(self, gpu: Gpu, shape: tuple[int, int, int]) -> None:
        self._gpu, self._shape = gpu, shape
        self._free: list[DeviceMemory] = []

    def take(self) -> GpuImage:
        memory = self._free.pop() if self._free else DeviceMemory(self._gpu, 4 * math.prod(self._shape))
        return GpuImage(self._gpu, self._shape, memory, self._free)
