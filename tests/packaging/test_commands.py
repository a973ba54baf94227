"""tools/commands.py, with which the scripts in tools/ and bench/ call irdim."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import commands

import irdim

ROOT = Path(__file__).resolve().parents[2]


def test_a_command_is_shown_with_what_it_prints_and_gives_it(capfd):
    assert commands.call("irdim-edge", "--version") == f"irdim {irdim.__version__}\n"
    shown = capfd.readouterr()
    assert shown.err == f"$ irdim-edge --version\nirdim {irdim.__version__}\n"
    assert shown.out == ""


def test_json_is_given_and_not_shown(capfd):
    assert commands.call(sys.executable, "-c", "print('{}')", "--json") == "{}\n"
    assert "{}\n" not in capfd.readouterr().err.splitlines(keepends=True)


def test_where_a_command_fails_the_script_ends_with_its_code(capfd):
    with pytest.raises(SystemExit) as ended:
        commands.call("irdim-edge", "inspect", ROOT / "nowhere")
    assert ended.value.code == 2
    assert "nowhere" in capfd.readouterr().err.splitlines()[-1]


def test_bench_has_the_same_file():
    assert (ROOT / "bench" / "commands.py").samefile(ROOT / "tools" / "commands.py")
