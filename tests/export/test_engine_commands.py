"""irdim-edge inspect and build, as a user calls them."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest


def edge(*arguments, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "irdim_edge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200", **environment})


def test_inspect_prints_all_that_is_in_a_bundle(small_bundle):
    said = edge("inspect", small_bundle)
    assert said.returncode == 0, said.stderr
    for text in (
        "darknet19, width 0.25",
        "signed by",
        "nobody",
        "64 patches",
        "whole frame",
        "samples.npy",
        "INT8 less torch",
    ):
        assert text in said.stdout
    found = json.loads(edge("inspect", small_bundle, "--json").stdout)
    assert found["signed_by"] is None
    assert set(found["files"]) >= {"model.onnx", "model.int8.onnx", "samples.npy", "parity.html"}


def test_inspect_refuses_what_the_trusted_have_not_signed(small_bundle):
    said = edge("inspect", small_bundle, "--trusted", "0" * 64)
    assert (said.returncode, said.stdout) == (2, "")
    assert "is not signed, and a signature is required" in said.stderr


def test_build_without_tensorrt_says_which_versions_serve(small_bundle):
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed here")
    said = edge("build", small_bundle)
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1].startswith("error: TensorRT is not installed; TensorRT 8.5 to 11 serve")
    assert "--engine" not in said.stderr  # an option that it does not have
    assert 'engine = "onnxruntime" in the configuration' in said.stderr


@pytest.mark.parametrize(
    ("option", "message"), [(("--size", "640"), "write WIDTHxHEIGHT"), (("--largest", "64x64"), "must rise")]
)
def test_build_checks_its_options_first(small_bundle, option, message):
    said = edge("build", small_bundle, *option)
    assert said.returncode == 2
    assert message in said.stderr


def test_an_engine_is_built_and_agrees(small_bundle, tmp_path):
    if importlib.util.find_spec("tensorrt") is None or importlib.util.find_spec("pycuda") is None:
        pytest.skip("no TensorRT, pycuda and GPU here")
    said = edge("build", small_bundle, "--json", XDG_CACHE_HOME=str(tmp_path))
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["agreement"]["signal_to_error"] > 10
    again = json.loads(edge("build", small_bundle, "--json", XDG_CACHE_HOME=str(tmp_path)).stdout)
    assert again["seconds"] == 0
