"""One look for the progress of long work."""

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress_bar(name: str) -> Progress:
    """A bar on stderr, so that stdout stays for results; silent where stderr is no terminal."""
    console = Console(file=sys.stderr)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}" if name == "fit" else ""),
        console=console,
        disable=not console.is_terminal,
    )
