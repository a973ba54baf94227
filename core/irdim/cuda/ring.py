"""The newest frames of one camera in device memory. Each is uploaded once, from pinned memory."""

import numpy as np

from irdim.cuda.gpu import Gpu, OnGpu
from irdim.cuda.memory import DeviceMemory


class FrameRing(OnGpu):
    """Slots for frames of one size and depth, side by side. address: of the first; shape: (H, W); dtype: uint8 or uint16."""

    def __init__(self, gpu: Gpu, stream: object, slots: int, shape: tuple[int, int], dtype: np.dtype) -> None:
        """Raises InputError where the GPU has no room. Call it with the context current."""
        self.gpu, cuda = gpu, gpu.cuda
        self.shape, self.dtype, self.slots = shape, dtype, slots
        self._stream = stream
        # mapped, so that on a Jetson, where both share one memory, the copy is within it
        self._pinned: np.ndarray = cuda.pagelocked_empty(shape, dtype, mem_flags=cuda.host_alloc_flags.DEVICEMAP)
        self._memory = DeviceMemory(gpu, slots * self._pinned.nbytes)
        self.address = self._memory.address
        self._uploaded = cuda.Event(cuda.event_flags.DISABLE_TIMING)
        self._newest = -1

    def push(self, pixels: np.ndarray) -> None:
        """Upload the newest frame, (H, W), over the oldest. Waits where the frame before is not yet on its way."""
        self._newest = (self._newest + 1) % self.slots
        self._uploaded.synchronize()
        np.copyto(self._pinned, pixels, casting="no")
        self.gpu.cuda.memcpy_htod_async(self.address + self._newest * self._pinned.nbytes, self._pinned, self._stream)
        self._uploaded.record(self._stream)

    def slot(self, age: int) -> int:
        """Where the frame lies that is `age` frames older than the newest."""
        return (self._newest - age) % self.slots
