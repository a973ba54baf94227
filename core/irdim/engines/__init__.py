"""Engines run the network: the input map in, the raw output map out. Each is imported when it is used."""

from pathlib import Path
from typing import Protocol

import numpy as np

ENGINES = ("auto", "onnxruntime", "tensorrt")


class Engine(Protocol):
    """One network, ready to run."""

    name: str

    def run(self, image: np.ndarray) -> np.ndarray:
        """image: (C, H, W) float32, H and W multiples of the stride. Returns (7, H / stride, W / stride) float32."""
        ...


def open_engine(path: Path, *, threads: int = 0) -> Engine:
    """ONNX Runtime for a graph. threads: 0 lets it use every core. (A bundle's graph may run elsewhere: irdim.engines.choice.)"""
    from irdim.engines.onnx import OnnxEngine

    return OnnxEngine(path, threads=threads)
