"""Where what was built for this machine is kept."""

import os
from pathlib import Path


def default_cache() -> Path:
    """`irdim/engines` in the user's cache folder."""
    return user_cache() / "engines"


def user_cache() -> Path:
    """`irdim` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "irdim"
