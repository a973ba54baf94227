"""One look for the progress of long work."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

EVERY = 15.0  # seconds between two lines where there is no terminal for a bar


def progress_bar(name: str) -> Progress:
    """A bar on stderr, so that stdout stays for results; a line now and then where stderr is no terminal."""
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}" if name == "fit" else ""),
    )
    if console.is_terminal or name == "fit":  # which has lines of its own, with the loss
        return Progress(*columns, console=console, disable=not console.is_terminal)
    return _Lines(*columns, console=console, disable=True)


class _Lines(Progress):
    """Of a log, or a pipe: how far the work is, every so often."""

    def __init__(self, *columns: Any, **options: Any) -> None:
        super().__init__(*columns, **options)
        self._told = time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """See Progress."""
        super().update(task_id, **changes)
        task, now = self._tasks[task_id], time.monotonic()
        if task.total and now - self._told >= EVERY:
            self._told = now
            print(f"{task.description}: {task.completed:.0f} of {task.total:.0f}", file=sys.stderr, flush=True)
