"""A network in torch to an FP32 ONNX graph with batch normalisation folded in."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

INPUT, OUTPUT = "input", "output"
BATCH = 16  # inputs that are run at a time
OPSET = 18  # the newest that TensorRT 8.5's parser knows all of our operators in is 17; 18 differs in none of them


def write_onnx(model: nn.Module, channels: int, path: Path) -> None:
    """Write the graph: input (N, C, H, W), output (N, 7, h, w), all sizes but the channels free."""
    folded = fuse(model.eval())
    example = torch.zeros(2, channels, 96, 128)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            folded,
            (example,),
            str(path),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=False,
            dynamic_axes={INPUT: {0: "n", 2: "height", 3: "width"}, OUTPUT: {0: "n", 2: "rows", 3: "columns"}},
        )
    onnx.checker.check_model(str(path))


def open_session(model: onnx.ModelProto, *, as_written: bool = False) -> onnxruntime.InferenceSession:
    """On the CPU. as_written: pairs of Q/DQ stay pairs, whatever their scale."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if as_written:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def outputs(model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    """(n, 7, h, w) float32 for inputs (n, C, H, W) float32, a few at a time."""
    session = open_session(model)
    return np.concatenate(
        [session.run(None, {INPUT: inputs[at : at + BATCH]})[0] for at in range(0, len(inputs), BATCH)]
    )


def drop_unused(graph: onnx.GraphProto) -> None:
    """Nodes and constants that nothing reads."""
    while True:
        read = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
        idle = [node for node in graph.node if not any(name in read for name in node.output)]
        for node in idle:
            graph.node.remove(node)
        if not idle:
            break
    for tensor in [t for t in graph.initializer if t.name not in read]:
        graph.initializer.remove(tensor)
