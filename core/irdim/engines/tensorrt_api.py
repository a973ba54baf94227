"""What differs between TensorRT 8.5 and 11, in one place. `tensorrt` is imported when it is used.

| | 8.5 to 9 | 10 to 10.11 | 10.12 to 10.x | 11 |
|---|---|---|---|---|
| EXPLICIT_BATCH flag | needed | without effect | without effect | gone |
| types of a network | precision flags | precision flags | strongly typed (flags are deprecated) | strongly typed (no flags) |
| graph for FP16 beside INT8 | the INT8 graph and the FP16 flag | same | the graph with FP16 in it | the graph with FP16 in it |
| parser errors | number of the node | its name and operator | its name and operator | its name and operator |

Everything else that is used here (named tensors, `execute_async_v3`, `build_serialized_network`, memory pools) is the same in all of them.
"""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from irdim.errors import InputError

OLDEST, NEWEST = (8, 5), (11,)  # what was looked at; a later one is tried all the same
STRONG_FROM = (10, 12)  # the first version in which precision flags are deprecated
SERVES = "TensorRT 8.5 to 11 serve"


def load_tensorrt() -> ModuleType:
    """The package `tensorrt`. Raises InputError, naming the versions that serve, where it is missing or too old."""
    try:
        import tensorrt
    except ImportError as error:
        missing = "is not installed" if error.name == "tensorrt" else f"cannot be imported ({error})"
        raise InputError(
            f"TensorRT {missing}; {SERVES} (on a Jetson it comes with JetPack: python3-libnvinfer), or take --engine onnxruntime"
        ) from None
    check_version(tensorrt)
    return tensorrt


def check_version(trt: Any) -> None:
    """Raises InputError where the package is older than what is used here."""
    if version(trt) < OLDEST:
        raise InputError(
            f"TensorRT {trt.__version__} is too old; {SERVES}: upgrade JetPack, or take --engine onnxruntime"
        )


def version(trt: Any) -> tuple[int, ...]:
    """(major, minor) of the package."""
    return tuple(int(n) for n in re.findall(r"\d+", trt.__version__)[:2])


def strongly_typed(trt: Any) -> bool:
    """Whether layers take the types that the graph has, so that FP16 must be in the graph; else a flag allows it."""
    return version(trt) >= STRONG_FROM


def network_flags(trt: Any) -> int:
    """What Builder.create_network is to be given."""
    known = trt.NetworkDefinitionCreationFlag
    wanted = ["STRONGLY_TYPED"] if strongly_typed(trt) else ["EXPLICIT_BATCH"]
    return sum(1 << int(getattr(known, name)) for name in wanted if hasattr(known, name))


def precision_flags(trt: Any, *, int8: bool, half: bool) -> list[Any]:
    """The builder flags for a graph's precisions; none where networks are strongly typed. int8: the graph has Q/DQ nodes."""
    if strongly_typed(trt):
        return []
    return [getattr(trt.BuilderFlag, name) for name, wanted in (("INT8", int8), ("FP16", half)) if wanted]


def make_logger(trt: Any) -> Any:
    """An ILogger that prints nothing and keeps the texts of errors in its list `errors`."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))

    return Logger()


def parse(trt: Any, network: Any, graph: Path, logger: Any) -> None:
    """Read an ONNX graph into a network. Raises InputError that names the node which TensorRT rejects."""
    parser = trt.OnnxParser(network, logger)
    if parser.parse(graph.read_bytes()):
        return
    error = parser.get_error(0) if parser.num_errors else None
    what = describe_error(error) if error is not None else (logger.errors or ["no reason was given"])[0]
    raise InputError(
        f"{graph}: TensorRT {trt.__version__} rejects it: {what}; take --engine onnxruntime, or another TensorRT"
    )


def describe_error(error: Any) -> str:
    """A ParserError in one line: the node and what is wrong with it."""
    node = f"node {error.node()}"
    if hasattr(error, "node_name"):  # 10 and later
        node = f"{node} '{error.node_name()}' ({error.node_operator()})"
    return f"{node}: {' '.join(error.desc().split())}"
