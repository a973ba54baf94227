"""Cameras: what the daemon takes frames from. So far recordings, replayed at their own rate or flat out; no frame is dropped."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from irdim.errors import InputError
from irdim.history import GAP
from irdim.sources import Frame, FrameSource, is_sequence, open_source


@dataclass(frozen=True)
class Replay:
    """Recorded sequences as a camera. rate: 'own', 'flat-out', or frames taken a second; step: every n-th frame is taken."""

    sources: list[FrameSource]
    rate: str | float
    step: int = 1

    @property
    def length(self) -> int | None:
        """Frames of all sequences, where all say it."""
        lengths = [s.length for s in self.sources]
        return None if None in lengths else sum(-(-n // self.step) for n in lengths if n is not None)

    @property
    def state(self) -> dict[str, str | int | float]:
        """What field logs say of the camera's state: of a replay, how it was replayed."""
        return {"replayed": str(self.rate), "every_nth_frame": self.step}

    def frames(self, source: FrameSource, stopping: threading.Event) -> Iterator[Frame]:
        """The frames of one sequence that are taken, numbered from 0, each when it is due; ends early once `stopping` is set."""
        began, first = time.monotonic(), None
        for frame in source:
            if frame.index % self.step:
                continue
            index = frame.index // self.step
            first = frame.time if first is None else first
            if self.rate != "flat-out":
                due = frame.time - first if self.rate == "own" else index / float(self.rate)
                stopping.wait(max(0.0, began + due - time.monotonic()))
            if stopping.is_set():
                return
            yield Frame(index, frame.time, frame.pixels)


def open_replay(
    paths: list[str], *, rate: str | float, interval: float | None, nominal: float | None, step: int = 1
) -> Replay:
    """interval: seconds, instead of the recordings'; nominal: the bundle's, taken where neither says.

    Raises InputError where there is nothing to replay, or where a recording is too slow or too fast for the bundle.
    """
    sources = []
    for file in (file for path in paths for file in _sequences(Path(path))):
        source = open_source(file, interval=interval)
        if source.interval is None and nominal:
            source = open_source(file, interval=nominal / step)
        check_interval(str(file), source.interval, nominal, step)
        sources.append(source)
    return Replay(sources, rate, step)


def check_interval(what: str, interval: float | None, nominal: float | None, step: int) -> None:
    """Raises InputError where the frames that are taken come much slower or faster than those that the bundle was trained with."""
    if not nominal or not interval:
        return
    taken = interval * step
    every = f" (every {step}-th frame)" if step > 1 else ""
    if taken > GAP * nominal:
        remedy = "set a smaller camera.step" if step > 1 else "set camera.interval, or run another bundle"
        raise InputError(
            f"{what}: {taken:g} s between frames{every}, but the bundle was trained for {nominal:g} s; every frame would be a gap: {remedy}"
        )
    if taken * GAP < nominal:
        raise InputError(
            f"{what}: {taken:g} s between frames{every}, but the bundle was trained for {nominal:g} s; targets would seem to move "
            f"{nominal / taken:.1f} times as slowly: set camera.step = {round(nominal / interval)}"
        )


def _sequences(path: Path) -> list[Path]:
    """The sequence itself, or those that lie in the folder, by name."""
    if not path.exists():
        raise InputError(f"{path}: there is no such sequence; set camera.paths")
    if is_sequence(path) or not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if not p.name.startswith(".") and is_sequence(p))
    if not found:
        raise InputError(f"{path}: no sequence in this folder; set camera.paths")
    return found
