"""Fetching from a server that may fail now and then."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from irdim.errors import InputError
from irdim.fieldlog import MOST_FILE

WAITS = (0.2, 0.5, 1.0, 2.0)  # seconds between tries of a request that fails


def patiently(request: Callable[[], Any]) -> Any:
    """The answer to a request, tried again after a while where it fails."""
    for wait in (*WAITS, None):
        try:
            return request()
        except InputError:
            raise
        except Exception:  # every transport has exceptions of its own
            if wait is None:
                raise
            time.sleep(wait * random.uniform(0.5, 1.5))
    raise AssertionError


def download(fs: Any, path: str, to: Path) -> None:
    """Fetch a file, but never more than a field log may have."""
    left = MOST_FILE + 1
    with fs.open(path, "rb") as source, to.open("wb") as file:
        while left > 0 and (block := source.read(min(1 << 20, left))):
            file.write(block)
            left -= len(block)
    if left <= 0:
        raise InputError(f"more than {MOST_FILE} bytes; refused")
