"""TensorRT on the GPU: one stream, buffers made once for a frame size, named tensors. pycuda and tensorrt are imported when they are used."""

from typing import Any

import numpy as np

from irdim.cuda.gpu import Gpu, OnGpu
from irdim.cuda.memory import GpuImage
from irdim.engines.options import size_text
from irdim.engines.tensorrt_api import load_tensorrt, make_logger
from irdim.errors import InputError


class TensorRtEngine(OnGpu):
    """A deserialised plan with one input (1, C, H, W) and one output (1, 7, h, w), both float32. May be used by one thread at a time.

    gpu, stream: where it runs, in order; what is queued on the stream before is done when it begins."""

    def __init__(self, plan: bytes, gpu: Gpu) -> None:
        """Raises InputError where TensorRT does not take the plan (built by another version, or for another GPU)."""
        trt = load_tensorrt()
        self.gpu, self._logger = gpu, make_logger(trt)
        self.name = f"tensorrt {trt.__version__}"
        with gpu.current():
            self._runtime = trt.Runtime(self._logger)
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                reason = (self._logger.errors or ["no reason was given"])[0]
                raise InputError(f"TensorRT {trt.__version__} does not take the engine ({reason}); build it again")
            names = {engine.get_tensor_mode(n): n for n in map(engine.get_tensor_name, range(engine.num_io_tensors))}
            if engine.num_io_tensors != 2 or len(names) != 2:
                raise InputError(f"the engine has {engine.num_io_tensors} tensors, not one input and one output")
            self._engine = engine
            self._input, self._output = names[trt.TensorIOMode.INPUT], names[trt.TensorIOMode.OUTPUT]
            self._smallest, _, self._largest = (tuple(s) for s in engine.get_tensor_profile_shape(self._input, 0))
            self._context = engine.create_execution_context()
            self.stream = gpu.cuda.Stream()
            self._done = gpu.cuda.Event(gpu.cuda.event_flags.DISABLE_TIMING)
        self._buffers: _Buffers | None = None

    def run(self, image: np.ndarray | GpuImage) -> np.ndarray:
        """See Engine.run; of a GpuImage nothing is copied. Raises InputError where the image is not of a size that the engine was built for."""
        with self.gpu.current():
            if self._buffers is None or self._buffers.shape != image.shape:
                self._buffers = self._allocate(image.shape)
            buffers, cuda = self._buffers, self.gpu.cuda
            address = buffers.upload(image, self.stream) if isinstance(image, np.ndarray) else image.memory.address
            self._context.set_tensor_address(self._input, address)
            if not self._context.execute_async_v3(self.stream.handle):
                raise InputError(f"TensorRT could not run ({(self._logger.errors or ['no reason was given'])[-1]})")
            cuda.memcpy_dtoh_async(buffers.output, buffers.output_on_gpu, self.stream)
            self._done.record(self.stream)  # not the whole stream: the next frame's input may be queued behind
            self._done.synchronize()
            return buffers.output[0].copy()

    def _allocate(self, shape: tuple[int, ...]) -> "_Buffers":
        wanted = (1, *shape)
        if not all(low <= n <= high for low, n, high in zip(self._smallest, wanted, self._largest, strict=True)):
            raise InputError(_not_taken(shape, self._smallest[1:], self._largest[1:]))
        self._context.set_input_shape(self._input, wanted)
        buffers = _Buffers(self.gpu.cuda, shape, tuple(self._context.get_tensor_shape(self._output)))
        self._context.set_tensor_address(self._output, int(buffers.output_on_gpu))
        return buffers


def _not_taken(shape: tuple[int, ...], smallest: tuple[int, ...], largest: tuple[int, ...]) -> str:
    """Why an engine does not run this image, and the build that would. All (C, H, W)."""
    (channels, h, w), (wanted, *low), (_, *high) = shape, smallest, largest
    text = f"{channels} channels of {w}x{h}: the engine takes {wanted} of {low[1]}x{low[0]} to {high[1]}x{high[0]}"
    if channels != wanted:
        return text
    smaller, larger = (min(h, low[0]), min(w, low[1])), (max(h, high[0]), max(w, high[1]))
    sizes = f"--size {w}x{h} --smallest {size_text(smaller)} --largest {size_text(larger)}"
    return f"{text}; build one that takes it: irdim-edge build BUNDLE {sizes}"


class _Buffers:
    """Pinned memory on the host and memory on the GPU, for inputs of one shape (C, H, W); that of the input is made when one comes from the host."""

    def __init__(self, cuda: Any, shape: tuple[int, ...], output: tuple[int, ...]) -> None:
        self.shape, self._cuda = shape, cuda
        self.output: np.ndarray = cuda.pagelocked_empty(output, np.float32)
        self.output_on_gpu = cuda.mem_alloc(self.output.nbytes)
        self._input: tuple[np.ndarray, Any] | None = None

    def upload(self, image: np.ndarray, stream: Any) -> int:
        """The address that the image will have on the GPU."""
        if self._input is None:
            pinned: np.ndarray = self._cuda.pagelocked_empty(self.shape, np.float32)
            self._input = pinned, self._cuda.mem_alloc(pinned.nbytes)
        pinned, on_gpu = self._input
        np.copyto(pinned, image)
        self._cuda.memcpy_htod_async(on_gpu, pinned, stream)
        return int(on_gpu)
