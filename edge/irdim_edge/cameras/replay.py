"""Recorded sequences as a camera: at their own rate or flat out, and none of their frames is lost."""

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from irdim.dataset.frames import read_through
from irdim.dataset.schema import FILE
from irdim.errors import InputError
from irdim.sources import Frame, FrameSource, is_sequence, open_source
from irdim_edge.cameras.camera import Began, Shot, check_interval

logger = logging.getLogger("irdim_edge")


class Replay:
    """rate: 'own' (of a recording that does not say: flat out), 'flat-out', or frames taken a second; step: every n-th frame is taken."""

    live = False
    trouble = ""
    hangs = False

    def __init__(self, sources: list[FrameSource], rate: str | float, step: int = 1) -> None:
        self.named, self.rate, self.step = unique_names(sources), rate, step
        self.counts: Counter[str] = Counter()

    @property
    def state(self) -> dict[str, str | int | float]:
        """How it is replayed."""
        return {"replayed": str(self.rate), "every_nth_frame": self.step}

    def shots(self, stopping: threading.Event) -> Iterator[Began | Shot]:
        """One sequence after the other; one that breaks off is told, and the next one begins. Raises InputError at the end where some did."""
        broken: list[str] = []
        for name, source in self.named:
            yield Began(name, source.interval, partial(_digest, source))
            try:
                yield from self._shots(source, stopping)
            except InputError as error:
                if len(self.named) > 1:
                    logger.error("%s; going on with the next recording", error)
                broken.append(str(error))
        if broken:
            raise InputError(
                broken[0] if len(broken) == 1 else f"{len(broken)} recordings broke off; the first: {broken[0]}"
            )

    def _shots(self, source: FrameSource, stopping: threading.Event) -> Iterator[Shot]:
        began, first = time.monotonic(), None
        interval = source.interval * self.step if source.interval else None
        rate = "flat-out" if self.rate == "own" and source.interval is None else self.rate
        for frame in source:
            if frame.index % self.step:
                continue
            index = frame.index // self.step
            first = frame.time if first is None else first
            if rate != "flat-out":
                due = frame.time - first if rate == "own" else index / float(rate)
                stopping.wait(max(0.0, began + due - time.monotonic()))
            if stopping.is_set():
                return
            taken = Frame(index, frame.time, frame.pixels)
            yield Shot(taken, time.time(), time.monotonic(), interval=interval)


def open_replay(
    paths: list[str], *, rate: str | float, interval: float | None, nominal: float | None, step: int = 1
) -> Replay:
    """interval: seconds, instead of the recordings'; nominal: the bundle's, taken where neither says.

    Raises InputError where there is nothing to replay, or where a recording is too slow or too fast for the bundle.
    """
    sources = []
    for file in (file for path in paths for file in sequences_at(Path(path))):
        source = open_source(file, interval=interval)
        if source.interval is None and nominal:
            source = open_source(file, interval=nominal / step)
        check_interval(str(file), source.interval, nominal, step)
        sources.append(source)
    if rate == "own" and (timeless := [source for source in sources if source.interval is None]):
        name = timeless[0].name + (f" and {len(timeless) - 1} more" if len(timeless) > 1 else "")
        logger.warning("%s: has no times, and is replayed flat out; camera.rate says otherwise", name)
    return Replay(sources, rate, step)


def unique_names(sources: Iterable[FrameSource]) -> list[tuple[str, FrameSource]]:
    """Each with its name; of several that have the same one, from different folders, the later ones are numbered."""
    named: dict[str, FrameSource] = {}
    for source in sources:
        again = (f"{source.name}-{n}" for n in itertools.count(2))
        name = source.name if source.name not in named else next(name for name in again if name not in named)
        named[name] = source
    return list(named.items())


def sequences_at(path: Path) -> list[Path]:
    """The sequence itself, or those that lie in the folder, by name."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; camera.paths names recordings, or a folder of them")
    if is_sequence(path) or not path.is_dir():
        return [path]
    if (path / FILE).is_file():
        raise InputError(f"{path}: a data set; its recordings lie in {path / 'frames'}: set camera.paths to that")
    found = sorted(p for p in path.iterdir() if not p.name.startswith(".") and is_sequence(p))
    if not found:
        raise InputError(f"{path}: no recording in this folder; camera.paths names recordings, or a folder of them")
    return found


def _digest(source: FrameSource, meanwhile: Callable[[], None]) -> str:
    """Of a recording's frames; empty where it breaks off. meanwhile: called on each frame; the Stopped that it raises goes on."""

    def frames() -> Iterator[Frame]:
        for frame in source:
            meanwhile()
            yield frame

    try:
        return read_through(source.name, frames(), None).digest
    except (InputError, OSError):
        return ""
