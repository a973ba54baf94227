"""Where the commands print what people read."""

import os
import sys

from rich.console import Console

UNBOUNDED = 200  # columns of a file or a pipe, which have no width to keep to; tables are only as wide as they need


def stdout_console(*, soft_wrap: bool = False, quiet: bool = False) -> Console:
    """soft_wrap: long lines go on as they are; quiet: nothing is printed. [Brackets] are what they are: names of users' recordings have them."""
    given = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, markup=False, soft_wrap=soft_wrap, quiet=quiet, width=None if given else UNBOUNDED)
