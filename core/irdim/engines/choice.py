"""Which engine runs a bundle on this machine."""

import importlib.util
import logging
from pathlib import Path

from irdim.bundle import HALF_GRAPH, SAMPLES, Bundle
from irdim.cuda.gpu import Gpu
from irdim.engines import ENGINES, Engine, open_engine
from irdim.engines.building import Graph, open_built
from irdim.engines.tensorrt_api import load_tensorrt
from irdim.errors import InputError

logger = logging.getLogger("irdim.engines")


def open_bundle_engine(
    bundle: Bundle, *, precision: str = "int8", engine: str = "auto", threads: int = 0, cache: Path | None = None
) -> Engine:
    """engine: 'onnxruntime'; 'tensorrt', taken from the cache or built now; 'auto', TensorRT where it, pycuda, a GPU and the bundle's sample frames are there.
    threads: of ONNX Runtime, 0 for all cores; cache: folder of built engines, the user's where it is None. Raises InputError."""
    if engine not in ENGINES:
        raise InputError(f"engine '{engine}' is not known; choose one of {', '.join(ENGINES)}")
    bundle.graph(precision)
    if engine == "auto" and SAMPLES not in bundle.files:  # an engine could not be checked
        engine = "onnxruntime"
    if engine == "onnxruntime" or (engine == "auto" and not tensorrt_is_there()):
        return open_on_cpu(bundle, precision, threads=threads)
    return open_built(engine_graph(bundle, precision), cache=cache).engine


def open_on_cpu(bundle: Bundle, precision: str, *, threads: int = 0) -> Engine:
    """ONNX Runtime. Raises InputError."""
    graph, usual = bundle.cpu_graph(precision), bundle.graph(precision)
    try:
        return open_engine(graph, threads=threads)
    except InputError as error:
        if graph == usual:
            raise
        engine = open_engine(usual, threads=threads)
        logger.warning("%s; %s runs instead, slower", error, usual.name)  # a version that lacks one of its operators
        return engine


def engine_graph(bundle: Bundle, precision: str) -> Graph:
    """What a bundle gives to make an engine of. Raises InputError where it has no sample frames to check one on."""
    path, half = bundle.graph(precision), bundle.path / HALF_GRAPH
    card = bundle.card
    with_half = precision == "int8" and HALF_GRAPH in bundle.files
    return Graph(
        path, half if with_half else None, card.input.channels, card.stride, precision == "int8", bundle.samples()
    )


def tensorrt_is_there() -> bool:
    """Whether TensorRT, pycuda and a GPU can be used; says in the log why not where TensorRT is installed."""
    if importlib.util.find_spec("tensorrt") is None:
        return False
    try:
        load_tensorrt()
        Gpu()
    except InputError as error:
        logger.warning("TensorRT is not used: %s", error)
        return False
    return True
