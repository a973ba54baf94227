"""When each frame was taken: a sidecar of times, or a constant interval."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irdim.errors import InputError
from irdim.sources.arrays import READ_ERRORS, map_array
from irdim.sources.limits import check_file_size


@dataclass(frozen=True, eq=False)
class Clock:
    """Times of the frames. `interval`: nominal seconds or None; `times`: (T,) float64 seconds as recorded or None."""

    interval: float | None = None
    times: np.ndarray | None = None
    path: Path | None = None

    def at(self, index: int) -> float:
        """Seconds: as recorded, or index * interval, or the index itself where no interval is known."""
        if self.times is None:
            return index * (self.interval or 1.0)
        if index >= len(self.times):
            raise InputError(
                f"{self.path}: {len(self.times)} times, but the sequence has more frames; one time per frame is needed"
            )
        return float(self.times[index])

    def check_length(self, length: int) -> None:
        """Raises InputError where the sidecar does not hold one time per frame."""
        if self.times is not None and len(self.times) != length:
            raise InputError(f"{self.path}: {len(self.times)} times for {length} frames; one time per frame is needed")


def find_clock(sidecars: Sequence[Path], interval: float | None) -> Clock:
    """The first of `sidecars` that exists gives the times, and their median step the interval unless one is given."""
    check_interval(interval)
    for path in sidecars:
        if path.is_file():
            check_file_size(path)
            times = _read_npy(path) if path.suffix == ".npy" else _read_csv(path)
            _check_times(path, times)
            if interval is None and len(times) > 1:
                interval = float(np.median(np.diff(times)))
            return Clock(interval, times, path)
    return Clock(interval)


def check_interval(interval: float | None) -> None:
    """Raises InputError where an interval is no positive number of seconds."""
    if interval is not None and not (np.isfinite(interval) and interval > 0):
        raise InputError(f"interval {interval}: give the seconds between frames, above 0")


def _read_npy(path: Path) -> np.ndarray:
    try:
        times = map_array(path)
    except READ_ERRORS as error:
        raise InputError(f"{path}: not a readable array of times ({_line(error)})") from None
    if not isinstance(times, np.ndarray) or times.ndim != 1 or times.dtype.kind not in "fiu":
        raise InputError(f"{path}: must be a one-dimensional array of seconds")
    return times.astype(np.float64)


def _read_csv(path: Path) -> np.ndarray:
    """One time a line; or a header with a column `time`, which is read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({_line(error)})") from None
    column, first = 0, 0
    if rows and "time" in rows[0]:
        column, first = rows[0].index("time"), 1
    times = []
    for number, row in enumerate(rows[first:], first + 1):
        try:
            times.append(float(row[column]))
        except (ValueError, IndexError):
            raise InputError(
                f"{path}, row {number}: not a time in seconds; give one a line, or a column 'time'"
            ) from None
    return np.array(times, np.float64)


def _check_times(path: Path, times: np.ndarray) -> None:
    if not np.isfinite(times).all():
        raise InputError(f"{path}, entry {int(np.argmin(np.isfinite(times)))}: not a finite time")
    if (steps := np.diff(times)).size and steps.min() <= 0:
        raise InputError(f"{path}, entry {int(np.argmax(steps <= 0)) + 1}: times must rise from frame to frame")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
