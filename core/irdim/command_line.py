"""How every irdim command ends: 0, or one clear line on stderr and 2 (bad input), or 130 (Ctrl-C)."""

import importlib
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

import irdim
from irdim.errors import InputError
from irdim.memory import keep_freed_memory

INTERRUPTED = 130
# what typer raises where a command is not used as it should be; it has no public name
USAGE: Any = typer.BadParameter.__base__


def start(module: str) -> None:
    """Import a command line and run its `app`; its imports take a second, in which Ctrl-C ends as it does later."""
    if sys.argv[1:] == ["--version"]:
        print(f"irdim {irdim.__version__}")
        return
    try:
        app = importlib.import_module(module).app
    except KeyboardInterrupt:
        _interrupted()
    run_command(app)


def run_command(app: Callable[..., Any]) -> None:
    """Run a typer app; an InputError or a wrong use becomes `error: ...` on stderr and exit code 2, Ctrl-C exit code 130."""
    keep_freed_memory()
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except typer.Abort:  # a question that nobody answered
        _interrupted()
    except USAGE as error:
        text, context = " ".join(error.format_message().split()).rstrip("."), error.ctx
        if not text:  # no arguments at all: the help is printed
            raise SystemExit(2) from None
        _fail(f"{text}; see {context.command_path} --help" if context else text)
    except OSError as error:  # a full disk, a folder that may not be written, a path through a file
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}; nothing was left half-written")
    except KeyboardInterrupt:
        _interrupted()
    if code == INTERRUPTED:  # typer makes one of Ctrl-C, and says nothing
        _interrupted()
    raise SystemExit(code)


def _fail(text: str) -> NoReturn:
    print(f"error: {text}", file=sys.stderr)
    raise SystemExit(2) from None


def _interrupted() -> NoReturn:
    print("interrupted", file=sys.stderr)
    raise SystemExit(INTERRUPTED) from None
