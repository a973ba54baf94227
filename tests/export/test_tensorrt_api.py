"""Every name of TensorRT's Python API that irdim.engines uses, against real bindings of each version: `python tools/tensorrt_bindings.py .tensorrt`
fetches them (or IRDIM_TENSORRT names the folder). They import without a GPU; each version in a process of its own."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from irdim.engines import building, tensorrt, tensorrt_api

FOLDER = Path(os.environ.get("IRDIM_TENSORRT", Path(__file__).parents[2] / ".tensorrt"))
VERSIONS = sorted(p.name for p in FOLDER.glob("*") if (p / "lib").is_dir())
MODULES = [Path(m.__file__) for m in (building, tensorrt, tensorrt_api)]
CLASS_OF = {  # what the variables of these modules hold
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "parser": "OnnxParser",
    "error": "ParserError",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "_runtime": "Runtime",
    "_context": "IExecutionContext",
    "times": "ITimingCache",
}
SINCE_10 = {"ParserError.node_name", "ParserError.node_operator"}  # asked for with hasattr
NOT_OURS = {
    "IExecutionContext.push",
    "ICudaEngine.run",
    "ParserError.name",
}  # pycuda's context, irdim's engine, ImportError
ABOUT = """
import json, sys
sys.modules["tensorrt"] = trt = __import__("tensorrt_bindings")
from irdim.engines import tensorrt_api as api
have = {}
for name in json.loads(sys.argv[1]):
    value = trt
    for part in name.split("."):
        value = getattr(value, part, None)
    have[name] = value is not None
log = api.make_logger(api.load_tensorrt())
log.log(trt.ILogger.ERROR, "first\\nline"); log.log(trt.ILogger.INFO, "chatter")
flags = api.precision_flags(trt, int8=True, half=True)
print(json.dumps({"have": have, "errors": log.errors, "version": api.version(trt), "network": api.network_flags(trt), "flags": [f.name for f in flags]}))
"""


def used_names() -> set[str]:
    """trt.A.B and CLASS.method of every use in the modules."""
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute):
                continue
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id == "trt":
                found.add(node.attr)
            elif isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name) and owner.value.id == "trt":
                found.add(f"{owner.attr}.{node.attr}")
            elif (name := getattr(owner, "id", getattr(owner, "attr", ""))) in CLASS_OF:
                found.add(f"{CLASS_OF[name]}.{node.attr}")
    return found - NOT_OURS


@pytest.fixture(scope="module", params=VERSIONS or ["none"])
def about(request):
    """What the bindings of one version say of themselves and of the names."""
    if not VERSIONS:
        pytest.skip("no TensorRT bindings here; python tools/tensorrt_bindings.py .tensorrt fetches them")
    where = FOLDER / request.param
    paths = os.pathsep.join([str(where), str(Path(tensorrt.__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": paths, "LD_LIBRARY_PATH": str(where / "lib")}
    said = subprocess.run(
        [sys.executable, "-c", ABOUT, json.dumps(sorted(used_names()))], env=environment, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def test_the_names_are_found():
    names = used_names()
    assert {
        "MemoryPoolType.WORKSPACE",
        "Builder.build_serialized_network",
        "IExecutionContext.execute_async_v3",
    } <= names
    assert len(names) > 30


def test_every_name_is_in_the_real_package(about):
    missing = {name for name, there in about["have"].items() if not there}
    assert missing <= (SINCE_10 if about["version"] < [10, 0] else set())


def test_errors_are_kept_and_chatter_is_not(about):
    assert about["errors"] == ["first line"]


def test_networks_get_the_flags_that_their_version_knows(about):
    if about["version"] < [10, 0]:
        assert (about["network"], about["flags"]) == (1, ["INT8", "FP16"])  # 1 << EXPLICIT_BATCH
    elif about["version"] < [10, 12]:
        assert about["flags"] == ["INT8", "FP16"]
    else:
        strongly_typed = 1 << (1 if about["version"] < [11, 0] else 0)
        assert (about["network"], about["flags"]) == (strongly_typed, [])


def test_too_old_a_version_is_refused_with_those_that_serve():
    class Old:
        __version__ = "8.4.3.1"

    with pytest.raises(tensorrt_api.InputError, match=r"8\.4\.3\.1 is too old; TensorRT 8\.5 to 11 serve"):
        tensorrt_api.check_version(Old)
