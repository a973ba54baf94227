"""Ranges of a graph's tensors, read from their histograms over the calibration patches: a percentile, or what loses the least in the mean square, or of the
values' distribution.

ONNX Runtime's quantiser has minimum-maximum. Its percentile and its entropy keep every activation of every patch in memory, and of its 128 bins the latter
tries one clip alone, the largest value: minimum-maximum again.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

BINS = 2048
LEVELS = 127  # steps of symmetric INT8 above zero
CLIPS = np.arange(16, 129) / 128  # candidates, as shares of the largest value
BATCH = 16
PERCENTILE = 99.999  # of |x|
SMOOTHED = 1e-3  # counts added to every bin, so that none is impossible

# name to (BINS,) counts of |x| over 0..most, and most, the largest |x|
Histograms = dict[str, tuple[np.ndarray, float]]


def histograms(graph: Path, inputs: np.ndarray) -> Histograms:
    """Of each float tensor that a node of the FP32 graph gives, without those that are zero throughout; two passes over the inputs, of which only a few
    are held at a time.

    inputs: (n, C, S, S) float32.
    """
    session, names = _with_all_outputs(graph)
    most = dict.fromkeys(names, 0.0)
    for values in _run(session, names, inputs):
        for name, value in values.items():
            most[name] = max(most[name], float(np.abs(value).max(initial=0)))
    counts = {name: np.zeros(BINS, np.int64) for name in names if most[name] > 0}
    for values in _run(session, names, inputs):
        for name, total in counts.items():
            bins = (np.abs(values[name]).ravel() * np.float32(BINS / most[name])).astype(np.int32)
            total += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)
    return {name: (total.astype(float), most[name]) for name, total in counts.items()}


def least_square_ranges(read: Histograms) -> dict[str, float]:
    """For each tensor the clip c at which rounding to steps of c / 127 and clipping at c lose least."""
    return {name: best_clip(counts, most) for name, (counts, most) in read.items()}


def percentile_ranges(read: Histograms) -> dict[str, float]:
    """For each tensor the clip that PERCENTILE of the absolute values do not exceed."""
    return {name: percentile_clip(counts, most) for name, (counts, most) in read.items()}


def entropy_ranges(read: Histograms) -> dict[str, float]:
    """For each tensor the clip after which the distribution of the absolute values is most like itself."""
    return {name: entropy_clip(counts, most) for name, (counts, most) in read.items()}


def percentile_clip(counts: np.ndarray, most: float) -> float:
    """Upper edge of the bin in which the percentile lies. counts: (BINS,) of |x| over 0..most."""
    share = np.cumsum(counts) / counts.sum()
    return float((np.searchsorted(share, PERCENTILE / 100) + 1) / len(counts) * most)


def entropy_clip(counts: np.ndarray, most: float) -> float:
    """The clip of least Kullback-Leibler divergence between the clipped distribution and what LEVELS + 1 steps leave of it (Migacz, 8-bit Inference with
    TensorRT, 2017). counts: (BINS,) of |x| over 0..most."""
    lost = []
    for share in CLIPS:
        kept = counts[: round(share * len(counts))]
        clipped = kept.copy()
        clipped[-1] += counts[len(kept) :].sum()
        step = np.arange(len(kept)) * (LEVELS + 1) // len(kept)
        mass, filled = (np.bincount(step, of, LEVELS + 1) for of in (kept, kept > 0))
        rounded = np.where(kept > 0, (mass / np.maximum(filled, 1))[step], 0.0)
        p, q = ((of + SMOOTHED) / (of + SMOOTHED).sum() for of in (clipped, rounded))
        lost.append(float((p * np.log(p / q)).sum()))
    return float(CLIPS[int(np.argmin(lost))] * most)


def best_clip(counts: np.ndarray, most: float) -> float:
    """The clip of least square error. counts: (BINS,) of |x| over 0..most."""
    middles = (np.arange(len(counts)) + 0.5) / len(counts) * most
    errors = []
    for share in CLIPS:
        clip = share * most
        step = clip / LEVELS
        rounded = np.rint(np.minimum(middles, clip) / step) * step
        # within a bin values are spread, so a bin near a step is not error-free: at fine steps the error is step^2 / 12
        inside = np.maximum((middles - rounded) ** 2, _spread(step, most / len(counts)))
        errors.append(float((counts * np.where(middles <= clip, inside, (middles - clip) ** 2)).sum()))
    return float(CLIPS[int(np.argmin(errors))] * most)


def _spread(step: float, bin_width: float) -> float:
    return min(step, bin_width) ** 2 / 12


def _with_all_outputs(graph: Path) -> tuple[onnxruntime.InferenceSession, list[str]]:
    model = onnx.shape_inference.infer_shapes(onnx.load(str(graph)))
    floats = {v.name for v in [*model.graph.value_info, *model.graph.output] if v.type.tensor_type.elem_type == 1}
    names = [name for node in model.graph.node for name in node.output if name in floats]
    there = {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names if n not in there)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, names


def _run(
    session: onnxruntime.InferenceSession, names: list[str], inputs: np.ndarray
) -> Iterator[dict[str, np.ndarray]]:
    given = session.get_inputs()[0].name
    for at in range(0, len(inputs), BATCH):
        yield dict(zip(names, session.run(names, {given: inputs[at : at + BATCH]}), strict=True))
