"""How far long work is, in lines that also a log can take."""

import time
from collections.abc import Callable

EVERY = 10.0  # seconds


def counted(tell: Callable[[str], None], what: str) -> Callable[[int, int], None]:
    """Tells `what` with how many sequences of how many are done, every so many seconds."""
    told = time.monotonic()

    def show(done: int, of: int) -> None:
        nonlocal told
        if time.monotonic() - told > EVERY and done < of:
            told = time.monotonic()
            tell(f"{what}: {done} of {of} sequences")

    return show
