"""The image's health check: 0 while a daemon of /etc/irdim/*.toml runs and says so every second, else 1 and why. A process alone is no health: it may hang."""

import sys
from datetime import datetime, timezone
from pathlib import Path

from irdim.errors import InputError
from irdim_edge.config import load_config
from irdim_edge.status import read_status

CONFIGURATIONS = Path("/etc/irdim")
STALE = 60.0  # seconds


def trouble(configuration: Path) -> str:
    """What is wrong with the daemon of a configuration; empty where nothing is."""
    try:
        status = read_status(load_config(configuration).out_path)
    except InputError as error:
        return str(error)
    if status["state"] != "running":
        return f"{configuration}: {status['state']} {status.get('last_error', '')}"
    age = abs((datetime.now(timezone.utc) - datetime.fromisoformat(status["updated"])).total_seconds())
    return f"{configuration}: says nothing since {status['updated']}" if age > STALE else ""


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CONFIGURATIONS
    found = [trouble(path) for path in sorted(folder.glob("*.toml"))]
    if "" not in found:
        sys.exit("; ".join(found) or f"{folder}: no configuration")
