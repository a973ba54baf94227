"""The writer: packs and signs suspects and writes them into the spool, in a thread of its own, since a suspect takes longer than a frame may."""

import queue
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from irdim.fieldlog import TALLY, Suspect, Tally, pack_log, pack_tally
from irdim.signing import Signer
from irdim_edge.policy import Budget
from irdim_edge.spool import Spool

MOST_WAITING = 16  # suspects that may wait to be packed
MOST_BYTES = 128 << 20  # bytes of their frames
PATIENCE = 15.0  # seconds
MOST_LINES = 10_000  # lines that may wait to be written
DROPPED, NO_ROOM, FAILED = "dropped", "no_room", "failed"


@dataclass(frozen=True)
class _Job:
    line: dict[str, Any]
    suspect: Suspect | None


class Writer:
    """Takes verdict lines, some with a suspect, and writes them in order: the suspect first, then the line with the name of its log.

    The hand-over is bounded: what the disk cannot keep up with is dropped and counted, and the frames go on.
    """

    def __init__(
        self,
        spool: Spool,
        budget: Budget,
        write: Callable[[dict[str, Any]], None],
        note: Callable[[Exception], None],
        signer: Signer | None = None,
        *,
        waits: bool = False,
    ) -> None:
        """write: takes a finished verdict line; note: an error that costs a suspect, not the run; waits: with a recording, for room for a line, which
        else is left out."""
        self._spool, self._budget, self._write, self._note = spool, budget, write, note
        self._signer, self._waits = signer, waits
        self._jobs: queue.SimpleQueue[_Job | Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = self._bytes = 0
        self._logged: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._once: set[str] = set()
        self._room = threading.BoundedSemaphore(MOST_LINES)
        self.unwritten = 0  # lines that there was no room for
        self._thread = threading.Thread(target=self._loop, name="writer", daemon=True)
        self._thread.start()

    @property
    def logged(self) -> Counter[str]:
        """Suspects in the spool so far, by kind."""
        with self._lock:
            return Counter(self._logged)

    @property
    def dropped(self) -> Counter[str]:
        """Suspects that were to be logged and were not, by kind: the hand-over, the disk or the spool was full."""
        with self._lock:
            return Counter(self._dropped)

    def submit(self, line: dict[str, Any], suspect: Suspect | None) -> bool:
        """Hand over a verdict line with its suspect, if any; False where the suspect is dropped. A line without one may be left out, as in `line`."""
        size = suspect.frames.nbytes if suspect else 0
        with self._lock:
            full = self._waiting >= MOST_WAITING or (self._waiting > 0 and self._bytes + size > MOST_BYTES)
            if suspect and full:
                self._dropped[line["kind"]] += 1
                line, suspect = {**line, "why": DROPPED}, None
            elif suspect:
                self._waiting, self._bytes = self._waiting + 1, self._bytes + size
        if suspect or self._take_room():
            self._jobs.put(_Job(line, suspect))
        return not (size and suspect is None)

    def accept_tally(self, tally: Tally) -> bool:
        """Put a tally into the spool; False where there is no room. In the writer's thread, or while it does nothing. Raises OSError or InputError."""
        name, data = pack_tally(tally, self._signer)
        return self._spool.accept(name, data, TALLY, 0.0) is not None

    def line(self, action: Callable[[], None]) -> None:
        """Call what writes a line in the writer's thread, in order; where too many wait, it is left out and counted (`unwritten`)."""
        if not self._take_room():
            return

        def act() -> None:
            self._room.release()
            action()

        self._jobs.put(act)

    def then(self, action: Callable[[], None], *, once: str = "") -> None:
        """Call something in the writer's thread, after all that was handed over before. once: a name, of which no two may wait: the second is left out."""
        with self._lock:
            if once in self._once:
                return
            self._once |= {once} - {""}

        def act() -> None:
            with self._lock:
                self._once -= {once}
            action()

        self._jobs.put(act)

    def close(self) -> None:
        """Finish what was handed over, and end; a disk that does not answer is not waited for longer than PATIENCE."""
        self._jobs.put(None)
        self._thread.join(PATIENCE)

    def _take_room(self) -> bool:
        """For one more line. False where there is none and the line counts as unwritten."""
        room = self._room.acquire(blocking=self._waits)
        self.unwritten += not room
        return room

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if isinstance(job, _Job):
                    self._finish(job)
                else:
                    job()
            except Exception as error:  # a full disk, a bug in one suspect: the next one goes on
                self._note(error)

    def _finish(self, job: _Job) -> None:
        line, kind, why = job.line, job.line["kind"], job.line.get("why")
        name = None
        if job.suspect is None:
            self._room.release()
        else:
            try:
                name = self._log(kind, job.suspect)
                why = None if name else NO_ROOM
            except Exception as error:
                self._note(error)
                why = FAILED
            with self._lock:
                self._waiting, self._bytes = self._waiting - 1, self._bytes - job.suspect.frames.nbytes
                (self._logged if name else self._dropped)[kind] += 1
        self._write({**line, "log": name, **({"why": why} if why else {})})

    def _log(self, kind: str, suspect: Suspect) -> str | None:
        name, data = pack_log(suspect, self._signer)
        path = self._spool.accept(name, data, kind, float(suspect.verdict["score"]))
        if path is not None:
            self._budget.charge(kind, len(data))
        return path.name if path else None
