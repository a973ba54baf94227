"""Which engine a machine takes, with stand-ins for TensorRT and the GPU: a plan here is the options that it was built with, and ONNX Runtime runs it."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from irdim.bundle import Bundle
from irdim.engines import building, open_engine
from irdim.engines.choice import open_bundle_engine
from irdim.engines.options import BuildOptions, parse_size
from irdim.engines.tensorrt import TensorRtEngine
from irdim.errors import InputError
from irdim_edge import engine_commands
from irdim_edge.cli import app
from irdim_edge.config import STARTER_FOLDER


class Machine:
    """plans: what was built, in order; broken: whether TensorRT builds nothing."""

    def __init__(self) -> None:
        self.tensorrt = SimpleNamespace(__version__="10.3.0")
        self.plans: list[dict] = []
        self.broken = False

    def build(self, trt, gpu, source, graph, options, timing) -> bytes:
        if self.broken:
            raise InputError("could not build an engine")
        plan = json.dumps(asdict(options))
        self.plans.append(json.loads(plan))
        return plan.encode()

    def taken(self) -> dict:
        """What irdim-edge run takes, or builds."""
        return open_bundle_engine(Bundle.load(STARTER_FOLDER), engine="tensorrt").plan


class Engine:
    def __init__(self, plan: bytes, gpu) -> None:
        self.name, self.plan = "tensorrt 10.3.0", json.loads(plan)
        self._inner = open_engine(Bundle.load(STARTER_FOLDER).graph("int8"), threads=1)

    def run(self, image):
        return self._inner.run(image) + 1e-4  # as good as another engine's roundings


@pytest.fixture
def machine(monkeypatch, tmp_path) -> Machine:
    made = Machine()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(building, "load_tensorrt", lambda: made.tensorrt)
    monkeypatch.setattr(building, "Gpu", lambda: SimpleNamespace(name="Orin 8.7"))
    monkeypatch.setattr(building, "TensorRtEngine", Engine)
    monkeypatch.setattr(building, "_build", made.build)
    monkeypatch.setattr(engine_commands, "TIMED", 1)
    return made


def build(*options: str) -> None:
    done = CliRunner().invoke(app, ["build", str(STARTER_FOLDER), *options])
    assert done.exit_code == 0, done.exception


def test_without_a_build_the_engine_has_the_defaults(machine):
    assert machine.taken() == json.loads(json.dumps(asdict(BuildOptions())))
    machine.taken()
    assert len(machine.plans) == 1


def test_an_engine_that_cannot_be_kept_runs_all_the_same(machine, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder, whoever one is
    machine.taken()
    assert "not kept, so the next start builds it again" in caplog.text
    assert CliRunner().invoke(app, ["build", str(STARTER_FOLDER)]).exit_code != 0
    assert len(machine.plans) == 2


@pytest.mark.parametrize(
    "options",
    [("--size", "320x256"), ("--no-half",), ("--workspace", "64", "--smallest", "32x32", "--largest", "4096x3072")],
)
def test_run_takes_what_was_built_whatever_its_options(machine, options):
    build(*options)
    assert machine.taken() == machine.plans[0] != json.loads(json.dumps(asdict(BuildOptions())))
    assert len(machine.plans) == 1


def test_the_last_build_counts_also_where_the_engine_was_there(machine):
    build("--no-half")
    build()
    assert machine.taken()["half"]
    build("--no-half")
    assert not machine.taken()["half"]
    assert len(machine.plans) == 2


def test_after_an_upgrade_of_tensorrt_the_engine_is_built_with_the_same_options(machine):
    build("--workspace", "64")
    machine.tensorrt.__version__ = "10.7.0"
    assert machine.taken()["workspace_mb"] == 64
    assert len(machine.plans) == 2


def test_of_a_build_that_failed_nothing_is_noted(machine):
    build("--size", "320x256")
    machine.broken = True
    assert isinstance(CliRunner().invoke(app, ["build", str(STARTER_FOLDER), "--no-half"]).exception, InputError)
    assert machine.taken() == machine.plans[0]


@pytest.mark.parametrize("text", ["", "[]", '{"options": {"later": 1}}', '{"options": {"largest": [8]}}'])
def test_a_note_that_does_not_read_gives_the_defaults_and_says_so(machine, tmp_path, caplog, text):
    build("--no-half")
    (note,) = (tmp_path / "irdim" / "engines").glob("*.options.json")
    note.write_text(text)
    assert machine.taken()["half"]
    assert f"{note}: the engine is built with the defaults" in caplog.text


@pytest.mark.parametrize("frame", [(2000, 3000), (16, 16), (16, 3000)])
def test_a_frame_that_is_not_taken_is_told_with_the_build_that_takes_it(frame):
    engine = object.__new__(TensorRtEngine)  # no GPU here
    engine._smallest, engine._largest = (1, 4, 64, 64), (1, 4, 200, 200)
    with pytest.raises(
        InputError, match=r"4 channels of .* takes 4 of 64x64 to 200x200; .* irdim-edge build"
    ) as caught:
        engine._allocate((4, *frame))
    words = str(caught.value).partition("BUNDLE ")[2].split()
    sizes = {name: parse_size(size) for name, size in zip(words[::2], words[1::2], strict=True)}
    options = BuildOptions(usual=sizes["--size"], smallest=sizes["--smallest"], largest=sizes["--largest"])
    assert all(low <= n <= high for low, n, high in zip(options.smallest, frame, options.largest, strict=True))
