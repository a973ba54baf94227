"""ONNX Runtime on the CPU."""

import os
from pathlib import Path

import numpy as np

from irdim.errors import InputError


class OnnxEngine:
    """A graph with one input (1, C, H, W) and one output (1, 7, h, w), both float32."""

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        """threads: 0 for all cores that this process may use. Raises InputError where the graph cannot be loaded."""
        try:
            import onnxruntime
        except ImportError:
            raise InputError("onnxruntime is not installed; install irdim[edge]") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # plans for one frame size: a tenth more memory, no time gained
        # a thread that waits for the next layer sleeps: spinning would take the core that the input step runs on
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise InputError(f"{path}: ONNX Runtime cannot load it ({str(error).splitlines()[0]})") from None
        self._input = self._session.get_inputs()[0].name
        self.name = f"onnxruntime {onnxruntime.__version__}"

    def run(self, image: np.ndarray) -> np.ndarray:
        """See Engine.run."""
        return self._session.run(None, {self._input: image[None]})[0][0]
