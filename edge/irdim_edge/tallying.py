"""Tallies: what a run counted in a stretch of time, so that rates can be computed where its suspects arrive.

The open tally lies in `tally.json` of the output folder, so that a kill loses seconds of it: the next run closes it. It is removed only once the tally
is in the spool, and a tally's name stands for its content, so none is counted twice.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
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

MEASURE_EVERY = 250  # judged frames between two whose noise and level are noted
OPEN = "tally.json"
Suspects = Mapping[str, Mapping[str, int]]  # kind -> {logged, merged, over_budget, evicted, dropped: number}


class Tallies:
    """Counts a run, one tally after the other. All that touches the file and the spool happens in the writer's thread, in order."""

    def __init__(self, folder: Path, writer: Writer, spool: Spool, judged: Callable[[], Suspects]) -> None:
        """folder: of the output, where a killed run may have left a tally; judged: suspects merged and over the budget so far, by kind."""
        self._folder, self._writer, self._spool, self._judged = folder, writer, spool, judged
        self._counted: Suspects = {}  # up to the last tally that was closed
        self._book: _Book | None = None
        if left := load_open(folder):
            writer.then(lambda: self._settle(left))

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
            self._writer.then(lambda: book.measure(newest))

    def keep(self) -> None:
        """Write the open tally down, should this run be killed."""
        if (book := self._book) is not None:
            judged = self._judged()
            self._writer.then(lambda: save_open(self._folder, book.tally(_since(self._counted, self._total(judged)))))

    def close(self) -> None:
        """The open tally, if there is one, goes into the spool."""
        if (book := self._book) is not None:
            judged, self._book = self._judged(), None
            self._writer.then(lambda: self._close(book, judged))

    def _close(self, book: "_Book", judged: Suspects) -> None:
        total = self._total(judged)
        tally, self._counted = book.tally(_since(self._counted, total)), total
        self._settle(tally)

    def _settle(self, tally: Tally) -> None:
        if tally.frames:
            save_open(self._folder, tally)
            self._writer.accept_tally(tally)
        (self._folder / OPEN).unlink(missing_ok=True)

    def _total(self, judged: Suspects) -> Suspects:
        logged, dropped, evicted = self._writer.logged, self._writer.dropped, self._spool.evicted
        return {
            kind: {**judged.get(kind, {}), "logged": logged[kind], "dropped": dropped[kind], "evicted": evicted[kind]}
            for kind in KINDS
        }


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


def save_open(folder: Path, tally: Tally) -> None:
    """Keep a tally for the next run, should this one be killed."""
    write_json(folder / OPEN, {**vars(tally), "begin": tally.begin.isoformat(), "end": tally.end.isoformat()})


def load_open(folder: Path) -> Tally | None:
    """The tally that a killed run left; None where there is none, or none that can be read."""
    with contextlib.suppress(InputError, KeyError, TypeError, ValueError):
        value: dict[str, Any] = read_json(folder / OPEN, "tally")
        times = {name: datetime.fromisoformat(value[name]) for name in ("begin", "end")}
        return Tally(**{**value, **times})
    return None


def _since(before: Suspects, now: Suspects) -> Suspects:
    """What was counted in between, by kind."""
    return {k: {name: n - before.get(k, {}).get(name, 0) for name, n in counts.items()} for k, counts in now.items()}


def _now() -> datetime:
    return datetime.now(timezone.utc)
