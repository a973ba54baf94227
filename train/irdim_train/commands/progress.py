"""One look for the progress of long work."""

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress_bar(name: str, shown: bool = True) -> Progress:
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
        disable=not (shown and console.is_terminal),
    )
