"""Numbers and paths in sentences."""

import shlex
from pathlib import Path


def number_of(n: int, noun: str, plural: str = "") -> str:
    """'1 frame', '2 frames'; plural: where it is not the noun with an s."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def quoted(path: Path | str) -> str:
    """A path as it is typed in a shell, for commands that are there to be copied."""
    return shlex.quote(str(path))
