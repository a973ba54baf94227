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
    """Recorded sequences as a camera."""

    sources: list[FrameSource]
    own_rate: bool

    @property
    def length(self) -> int | None:
        """Frames of all sequences, where all say it."""
        lengths = [s.length for s in self.sources]
        return None if None in lengths else sum(n for n in lengths if n is not None)

    def frames(self, source: FrameSource, stopping: threading.Event) -> Iterator[Frame]:
        """The frames of one sequence, each when it is due; ends early once `stopping` is set."""
        began, first = time.monotonic(), None
        for frame in source:
            if self.own_rate:
                first = frame.time if first is None else first
                stopping.wait(max(0.0, began + frame.time - first - time.monotonic()))
            if stopping.is_set():
                return
            yield frame


def open_replay(paths: list[str], *, rate: str, interval: float | None, nominal: float | None) -> Replay:
    """interval: seconds, instead of the recordings'; nominal: the bundle's, taken where neither says.

    Raises InputError where there is nothing to replay, or where a recording is so slow that the bundle sees a gap before every frame.
    """
    sources = []
    for file in (file for path in paths for file in _sequences(Path(path))):
        source = open_source(file, interval=interval)
        if source.interval is None and nominal:
            source = open_source(file, interval=nominal)
        if nominal and source.interval and source.interval > GAP * nominal:
            raise InputError(
                f"{file}: {source.interval:g} s between frames, but the bundle was trained for {nominal:g} s; "
                "every frame would be a gap: set camera.interval, or run another bundle"
            )
        sources.append(source)
    return Replay(sources, rate == "own")


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
