"""What every camera gives: streams of frames, each frame with the moment at which it was taken."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from irdim.errors import InputError
from irdim.history import GAP
from irdim.sources import Frame


class Stopped(Exception):
    """The run is to stop, in the middle of something that takes long."""


@dataclass(frozen=True)
class Began:
    """A stream begins: a recording, or the camera after it was opened. Its frames are numbered from 0.

    interval: nominal seconds between the camera's frames, where something says it; digest: gives that of a recording's frames, as a data set names
    them, which calls its argument on each frame that it reads (a Stopped that this raises goes on); None for a live camera.
    """

    name: str
    interval: float | None = None
    digest: Callable[[Callable[[], None]], str] | None = None


@dataclass(frozen=True)
class Shot:
    """A frame as it came. utc: seconds since 1970 when it was taken; stamped: the same moment on time.monotonic(), from which latency counts;
    fault: why frames before it cannot be compared with it ('shutter', 'gain'), else empty; interval: seconds from one to the next as far as is known."""

    frame: Frame
    utc: float
    stamped: float
    fault: str = ""
    interval: float | None = None


class Camera(Protocol):
    """live: its frames come when they come, and the newest counts; else none may be lost, and they wait."""

    live: bool
    counts: Counter[str]  # what happened to it, by name: docs/cameras.md

    @property
    def state(self) -> dict[str, str | int | float]:
        """What field logs say of the camera's state."""

    @property
    def trouble(self) -> str:
        """What is wrong with it now, for a person; empty where nothing is."""

    @property
    def hangs(self) -> bool:
        """Whether a library has not come back for long."""

    def shots(self, stopping: threading.Event) -> Iterator[Began | Shot]:
        """What comes, until it ends or `stopping` is set. May be iterated over by one thread, once."""


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


def utc_of(stamped: float) -> float:
    """Seconds since 1970 of a moment on time.monotonic()."""
    return time.time() - (time.monotonic() - stamped)
