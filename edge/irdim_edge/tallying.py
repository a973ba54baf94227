"""Tallies: what a run counted in a stretch of time, so that rates can be computed where its suspects arrive.

The open tally lies in `tally.json` of the output folder with those that the spool has not taken yet (a full disk), so that a kill loses seconds of it: the
next run closes it. A tally goes from there only once it is in the spool, and its name stands for its content, so none is lost and none counted twice.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from irdim.detector import Step
from irdim.differencing import InputSpec
from irdim.errors import InputError
from irdim.fieldlog import KINDS, Tally
from irdim.files import read_json, write_json
from irdim.input_statistics import EDGES, bin_of, input_statistics
from irdim.sources import Frame
from irdim_edge.spool import Spool
from irdim_edge.writer import Writer

RETRY_EVERY = 60.0  # seconds between two tries with a spool that has no room
MOST_UNSETTLED = 1000  # tallies of an hour: six weeks
MEASURE_EVERY = 250  # judged frames between two whose noise and level are noted
OPEN = "tally.json"
Suspects = Mapping[str, Mapping[str, int]]  # kind -> {logged, merged, over_budget, evicted, dropped: number}


class Tallies:
    """Counts a run, one tally after the other. All that touches the file and the spool happens in the writer's thread, in order."""

    def __init__(self, folder: Path, writer: Writer, spool: Spool, judged: Callable[[], Suspects]) -> None:
        """folder: of the output, where a killed run may have left a tally; judged: suspects merged, over the budget and dropped so far, by kind; those
        that the writer dropped not among them."""
        self._folder, self._writer, self._spool, self._judged = folder, writer, spool, judged
        self._counted: Suspects = {}  # up to the last tally that was closed
        self._book: _Book | None = None
        self._unsettled = load_open(folder)  # what the spool has still to take
        self._tried = -RETRY_EVERY
        writer.then(self._settle)

    @property
    def age(self) -> float:
        """Seconds that the open tally covers."""
        return time.monotonic() - self._book.began if self._book else 0.0

    def begin(self, device: str, camera: str, bundle: str, spec: InputSpec) -> None:
        """Close the open tally, if there is one; from now on another bundle is counted."""
        self.close()
        self._book = _Book({"device": device, "camera": camera, "bundle": bundle}, spec)

    def renew(self) -> None:
        """Close the open tally, and begin another of the same bundle."""
        if (book := self._book) is not None:
            self.close()
            self._book = _Book(book.who, book.spec, book.tracks)

    def count(self, step: Step, detections: int, tracks: int, frames: Callable[[], list[Frame]]) -> None:
        """Count a frame. detections: reported; tracks: confirmed so far with this bundle; frames: gives the newest ones, oldest first."""
        book = self._book
        if book is None:
            return
        book.frames += 1
        book.detections += detections
        book.tracks = tracks
        if step.status != "ok":
            book.warming[step.reason] += 1
        elif (book.frames - sum(book.warming.values())) % MEASURE_EVERY == 1:
            newest = frames()
            self._writer.then(lambda: book.measure(newest), once="measure")

    def keep(self) -> None:
        """Write the open tally down, should this run be killed, and try again with what the spool has not taken."""
        if (book := self._book) is not None:
            judged = self._judged()
            self._writer.then(lambda: self._keep(book, judged), once="tally")

    def close(self) -> None:
        """The open tally, if there is one, goes into the spool."""
        if (book := self._book) is not None:
            judged, self._book = self._judged(), None
            self._writer.then(lambda: self._close(book, judged))

    def _close(self, book: "_Book", judged: Suspects) -> None:
        total = self._total(judged)
        tally, self._counted = book.tally(_since(self._counted, total)), total
        self._unsettled = [*self._unsettled, tally][-MOST_UNSETTLED:]
        self._settle()

    def _keep(self, book: "_Book", judged: Suspects) -> None:
        if self._unsettled and time.monotonic() - self._tried >= RETRY_EVERY:
            self._settle()
        save_open(self._folder, [*self._unsettled, book.tally(_since(self._counted, self._total(judged)))])

    def _settle(self) -> None:
        """Offer the spool what it has not taken, oldest first. Raises OSError where the disk is full: what is left is tried again."""
        self._tried = time.monotonic()
        self._unsettled = [tally for tally in self._unsettled if tally.frames]
        if self._unsettled:
            save_open(self._folder, self._unsettled)
        while self._unsettled and self._writer.accept_tally(self._unsettled[0]):
            del self._unsettled[0]
        if self._unsettled:
            save_open(self._folder, self._unsettled)
        else:
            (self._folder / OPEN).unlink(missing_ok=True)

    def _total(self, judged: Suspects) -> Suspects:
        logged, dropped, evicted = self._writer.logged, self._writer.dropped, self._spool.evicted
        total: dict[str, dict[str, int]] = {}
        for kind in KINDS:
            before = judged.get(kind, {})
            all_dropped = before.get("dropped", 0) + dropped[kind]
            total[kind] = {**before, "logged": logged[kind], "dropped": all_dropped, "evicted": evicted[kind]}
        return total


class _Book:
    """The counts of one tally. The writer's thread measures, the main thread counts."""

    def __init__(self, who: dict[str, str], spec: InputSpec, tracks_before: int = 0) -> None:
        self.who, self.spec = who, spec
        self.began, self._begin = time.monotonic(), _now()
        self.frames = self.detections = 0
        self.tracks = self._tracks_before = tracks_before
        self.warming: Counter[str] = Counter()
        self._inputs = {name: np.zeros(len(edges) - 1, np.int64) for name, edges in EDGES.items()}

    def measure(self, frames: list[Frame]) -> None:
        """Note the noise and the level of the newest of these frames, which reach back over the input's history, as training patches have them."""
        for name, value in input_statistics(frames, self.spec).items():
            self._inputs[name][bin_of(name, value)] += 1

    def tally(self, suspects: Suspects) -> Tally:
        """What was counted up to now."""
        return Tally(
            **self.who,
            begin=self._begin,
            end=max(_now(), self._begin),  # a clock may be set back
            frames=self.frames,
            warming=dict(self.warming),
            detections=self.detections,
            tracks=self.tracks - self._tracks_before,
            suspects=suspects,
            inputs={name: {"edges": EDGES[name].tolist(), "counts": n.tolist()} for name, n in self._inputs.items()},
        )


def save_open(folder: Path, tallies: Sequence[Tally]) -> None:
    """Keep tallies for the next run, should this one be killed."""
    write_json(folder / OPEN, [{**vars(t), "begin": t.begin.isoformat(), "end": t.end.isoformat()} for t in tallies])


def load_open(folder: Path) -> list[Tally]:
    """The tallies that a killed run left; none where nothing can be read."""
    with contextlib.suppress(InputError, KeyError, TypeError, ValueError):
        return [_read(value) for value in read_json(folder / OPEN, "tally")]
    return []


def _read(value: dict[str, Any]) -> Tally:
    times = {name: datetime.fromisoformat(value[name]) for name in ("begin", "end")}
    return Tally(**{**value, **times})


def _since(before: Suspects, now: Suspects) -> Suspects:
    """What was counted in between, by kind."""
    return {k: {name: n - before.get(k, {}).get(name, 0) for name, n in counts.items()} for k, counts in now.items()}


def _now() -> datetime:
    return datetime.now(timezone.utc)
