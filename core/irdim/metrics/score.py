"""The score at one threshold: counts, and every rate that follows from them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Score:
    """Counts and rates at one threshold of one protocol.

    seconds: how long the frames took, None where an interval is not known; false_alarm_pixels: where the protocol counts them (mask-centroid).
    """

    protocol: str
    threshold: float
    true_positives: int
    false_positives: int
    on_interference: int
    targets: int
    frames: int
    pixels: int
    seconds: float | None = None
    false_alarm_pixels: int | None = None

    @property
    def precision(self) -> float:
        """Eq. (5); 0 where nothing was detected."""
        return self.true_positives / max(self.true_positives + self.false_positives, 1)

    @property
    def recall(self) -> float:
        """Eq. (6); also Pd."""
        return self.true_positives / max(self.targets, 1)

    @property
    def f1(self) -> float:
        """Eq. (7)."""
        return 2 * self.true_positives / max(self.true_positives + self.false_positives + self.targets, 1)

    @property
    def false_alarms_per_frame(self) -> float:
        """False alarms, each counted once, over frames."""
        return self.false_positives / max(self.frames, 1)

    @property
    def false_alarms_per_hour(self) -> float | None:
        """False alarms over the time that the frames took; None where that is not known."""
        return 3600 * self.false_positives / self.seconds if self.seconds else None

    def to_json(self) -> dict[str, Any]:
        """Keys are explained in docs/metrics.md."""
        per_hour = self.false_alarms_per_hour
        result = {
            "protocol": self.protocol,
            "threshold": round(self.threshold, 6),
            "precision": round(self.precision, 6),
            "recall": round(self.recall, 6),
            "f1": round(self.f1, 6),
            "false_alarms_per_frame": round(self.false_alarms_per_frame, 6),
            "false_alarms_per_pixel": self.false_positives / max(self.pixels, 1),
            "false_alarms_per_hour": None if per_hour is None else round(per_hour, 3),
            "true_positives": self.true_positives,
            "false_positives": self.false_positives,
            "on_interference": self.on_interference,
            "targets": self.targets,
            "frames": self.frames,
        }
        if self.false_alarm_pixels is not None:
            result["false_alarm_pixels_per_pixel"] = self.false_alarm_pixels / max(self.pixels, 1)
        return result
