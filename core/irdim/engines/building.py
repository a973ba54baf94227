"""Engines on disk: built on the device that runs them, kept under all that decides them, checked before they run."""

import contextlib
import hashlib
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from irdim.cache import default_cache
from irdim.cuda.gpu import Gpu
from irdim.engines.agreement import Agreement, compare_engines
from irdim.engines.onnx import OnnxEngine
from irdim.engines.options import BuildOptions, engine_key, options_key
from irdim.engines.tensorrt import TensorRtEngine
from irdim.engines.tensorrt_api import load_tensorrt, make_logger, network_flags, parse, precision_flags, strongly_typed
from irdim.errors import InputError
from irdim.files import atomic_file, read_json, sha256, write_json

logger = logging.getLogger("irdim.engines")
FORMAT, VERSION = "irdim-engine", 1


@dataclass(frozen=True)
class Graph:
    """What an engine is made of. path: the graph that bundles carry; half: the same with FP16 for what is not INT8, where there is one; digests: SHA-256
    of both; samples: inputs (C, H, W) float32 on which the engine must agree with ONNX Runtime."""

    path: Path
    half: Path | None
    channels: int
    stride: int
    int8: bool
    samples: list[np.ndarray]


@dataclass(frozen=True)
class Built:
    """An engine that has proved itself. seconds: what building took, 0 where it was there already."""

    engine: TensorRtEngine
    path: Path
    seconds: float
    agreement: Agreement


def open_built(
    graph: Graph, options: BuildOptions | None = None, cache: Path | None = None, *, again: bool = False
) -> Built:
    """The engine of a graph for this machine's GPU: from the cache where it is there and TensorRT takes it, else built and checked against ONNX Runtime.

    options: noted for later; where None, those that the graph's engine was last built or taken with here, else the defaults. again: build it even so.
    Raises InputError where TensorRT, pycuda or a GPU is missing, the parser rejects the graph, the build fails, or the engine disagrees with ONNX Runtime;
    then nothing stays in the cache. Where the cache cannot be written, an engine that was asked for by `options` is an OSError; any other runs, and is built
    again at the next start.
    """
    cache = cache or default_cache()
    trt, gpu = load_tensorrt(), Gpu()
    noted = cache / f"{options_key(sha256(graph.path), gpu.name)}.options.json"
    built = _open(trt, gpu, graph, options or _noted_options(noted), cache, again, asked=options is not None)
    if options is not None:  # only now: of a build that failed nothing is noted
        write_json(
            noted, {"format": f"{FORMAT}-options", "version": VERSION, "gpu": gpu.name, "options": asdict(options)}
        )
    return built


def _noted_options(note: Path) -> BuildOptions:
    """Those of the last build; the defaults where there was none, or its note does not read."""
    if not note.is_file():
        return BuildOptions()
    try:
        said: dict[str, Any] = read_json(note, "note on a build")["options"]
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in said.items()}
        return BuildOptions(**values)
    except (InputError, LookupError, TypeError, ValueError, AttributeError) as error:
        logger.warning("%s: the engine is built with the defaults (%s)", note, error)
        return BuildOptions()


def _open(trt: Any, gpu: Gpu, graph: Graph, options: BuildOptions, cache: Path, again: bool, *, asked: bool) -> Built:
    """See open_built."""
    if strongly_typed(trt) and graph.half is None:  # FP16 would have to be in the graph
        options = replace(options, half=False)
    source = graph.half if options.half and strongly_typed(trt) and graph.half else graph.path
    key = engine_key(sha256(source), trt.__version__, gpu.name, options, graph.stride)
    plan_path, note_path = cache / f"{key}.engine", cache / f"{key}.json"
    if not again and (found := _cached(plan_path, note_path, gpu)) is not None:
        return found
    begun = time.monotonic()
    timing = cache / f"{engine_key('timing', trt.__version__, gpu.name, BuildOptions(), 0)}.timing"
    plan = _build(trt, gpu, source, graph, options, timing)
    engine = TensorRtEngine(plan, gpu)
    agreement = compare_engines(OnnxEngine(graph.path), engine, graph.samples, graph.stride)
    if not agreement.holds:
        raise InputError(
            f"{graph.path}: the engine that {engine.name} built disagrees with ONNX Runtime ({agreement}) and is refused; take --engine onnxruntime"
        )
    note = {
        "format": FORMAT,
        "version": VERSION,
        "graph": sha256(source),
        "tensorrt": trt.__version__,
        "gpu": gpu.name,
        "options": asdict(options),
        "sha256": hashlib.sha256(plan).hexdigest(),
        "agreement": asdict(agreement),
    }
    try:
        with atomic_file(plan_path) as file:
            file.write(plan)
        write_json(note_path, note)
    except OSError as error:  # full, or read-only: minutes of building are not thrown away
        if asked:
            raise
        logger.warning(
            "engine %s: not kept, so the next start builds it again (%s)", plan_path, error.strerror or error
        )
    return Built(engine, plan_path, time.monotonic() - begun, agreement)


def _cached(plan: Path, note: Path, gpu: Gpu) -> Built | None:
    """The engine that is there; None where there is none, it is not whole, or TensorRT does not take it."""
    if not (plan.is_file() and note.is_file()):
        return None
    try:
        said = read_json(note, "note on an engine")
        if said["sha256"] != sha256(plan):
            raise InputError("its digest differs from its note's")
        return Built(TensorRtEngine(plan.read_bytes(), gpu), plan, 0.0, Agreement(**said["agreement"]))
    except (InputError, KeyError, TypeError) as error:
        logger.warning("engine %s: built again (%s)", plan, error)
        return None


def _build(trt: Any, gpu: Gpu, source: Path, graph: Graph, options: BuildOptions, timing: Path) -> bytes:
    """The serialised plan. timing: measured times of tactics, which the next build starts from."""
    log = make_logger(trt)
    with gpu.current():
        builder = trt.Builder(log)
        network = builder.create_network(network_flags(trt))
        parse(trt, network, source, log)
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
        for flag in precision_flags(trt, int8=graph.int8, half=options.half):
            config.set_flag(flag)
        profile = builder.create_optimization_profile()
        profile.set_shape(network.get_input(0).name, *((1, graph.channels, *s) for s in options.padded(graph.stride)))
        config.add_optimization_profile(profile)
        measured = timing.read_bytes() if timing.is_file() else b""
        config.set_timing_cache(config.create_timing_cache(measured) or config.create_timing_cache(b""), False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            reason = (log.errors or ["no reason was given"])[0]
            raise InputError(
                f"{source}: TensorRT {trt.__version__} could not build an engine ({reason}); give it more with --workspace, or take "
                "--engine onnxruntime"
            )
        if (times := config.get_timing_cache()) is not None:
            with contextlib.suppress(OSError), atomic_file(timing) as file:
                file.write(bytes(times.serialize()))
        return bytes(plan)
