"""How every irdim command ends: 0, or one clear line on stderr and 2 (bad input), or 130 (Ctrl-C)."""

import importlib
import sys
from collections.abc import Callable
from typing import Any

import irdim
from irdim.errors import InputError
from irdim.memory import keep_freed_memory


def start(module: str) -> None:
    """Import a command line and run its `app`; its imports take a second, in which Ctrl-C ends as it does later."""
    if sys.argv[1:] == ["--version"]:
        print(f"irdim {irdim.__version__}")
        return
    try:
        app = importlib.import_module(module).app
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    run_command(app)


def run_command(app: Callable[..., Any]) -> None:
    """Run a typer app; an InputError becomes `error: ...` on stderr and exit code 2, Ctrl-C exit code 130."""
    keep_freed_memory()
    try:
        app(standalone_mode=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:  # a full disk, a folder that may not be written, a path through a file
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; nothing was left half-written", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except SystemExit as end:  # typer makes one of Ctrl-C, and says nothing
        if end.code == 130:
            print("interrupted", file=sys.stderr)
        raise
