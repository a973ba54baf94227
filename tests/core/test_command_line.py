"""How commands end: one line, and an exit code that scripts can rely on."""

import subprocess
import sys

import pytest

APP = """
import sys
from typing import Annotated
import typer
from irdim.command_line import run_command
from irdim.errors import InputError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

@app.command()
def work(path: str, size: Annotated[int, typer.Option(min=1)] = 3) -> None:
    "Work."
    if path == "broken": raise InputError("broken: is broken; mend it")
    if path == "full": raise OSError(28, "No space left on device", "out/file")
    if path == "stop": raise KeyboardInterrupt
    if path == "five": raise typer.Exit(5)
    print(path, size)

@app.command()
def other() -> None:
    "Other."

run_command(app)
"""


def ended(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", APP, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["work", "broken"], 2, "error: broken: is broken; mend it"),
        (["work", "full"], 2, "error: out/file: No space left on device; nothing was left half-written"),
        (["work", "stop"], 130, "interrupted"),
        (["wrok"], 2, "No such command 'wrok'"),
        (["work"], 2, "Missing argument"),
        (["work", "x", "y"], 2, "unexpected extra argument"),
        (["work", "x", "--siez", "3"], 2, "--siez"),
        (["work", "x", "--size"], 2, "--size"),
        (["work", "x", "--size", "many"], 2, "--size"),
        (["work", "x", "--size", "0"], 2, "--size"),
    ],
)
def test_what_went_wrong_is_one_line(arguments, code, said):
    found, out, err = ended(*arguments)
    assert (found, out) == (code, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert code == 130 or err.startswith("error: ")


def test_a_wrong_use_names_the_help():
    assert ended("work", "x", "--size", "many")[2].rstrip().endswith("work --help")


def test_all_else_ends_as_asked():
    assert ended("work", "x", "--size", "4") == (0, "x 4\n", "")
    assert ended("work", "five")[0] == 5
    code, out, err = ended()
    assert (code, err) == (2, "")
    assert "work" in out
    assert ended("work", "--help")[0] == 0
