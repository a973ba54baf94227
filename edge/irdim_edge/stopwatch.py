"""How long the stages of a frame take, of the newest frames."""

from collections import defaultdict, deque

import numpy as np

KEPT = 1000


class Stopwatch:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))

    def note(self, stage: str, seconds: float) -> None:
        self._seconds[stage].append(seconds)

    def quantiles(self) -> dict[str, dict[str, float]]:
        """p50 and p99 of each stage, milliseconds."""
        found = {}
        for stage, seconds in self._seconds.items():
            middle, high = np.quantile(np.array(seconds), (0.5, 0.99))
            found[stage] = {"p50": round(1e3 * float(middle), 3), "p99": round(1e3 * float(high), 3)}
        return found
