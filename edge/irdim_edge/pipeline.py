"""Capture, the input step and the engine, each in a thread of its own, a bounded number of frames ahead of whoever reads what was found.

    camera -> capture thread -> Handover -> input thread -> engine thread -> Feed -> whoever decodes and tracks

A replay loses nothing: each waits for the next. Of a live camera the newest frame counts: while the engine is busy frames gather, and of those that have
the newest goes on to the engine; the older ones enter the history (so that its stack is the one it would be) and are counted as skipped.
"""

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np

from irdim.bundle import Bundle
from irdim.detector import Detector
from irdim.input_step import Prepared
from irdim.sources import Frame
from irdim_edge.cameras import Began, Camera, Shot
from irdim_edge.handover import LOOK, Handover

TICK = 0.25  # seconds without a frame after which the feed gives None, so that its reader can look around
HANGS = 30.0  # seconds that one run of the engine may take
FEW_CORES = 4  # up to which the engine gains more by the last core than it loses by sharing it
LAST_RUN = 10.0  # seconds that its last one may take at the end; systemd waits 20
# frames between being chosen and being read. Live: one runs, one is prepared meanwhile; another would only be older when its turn comes
UNDER_WAY, UNDER_WAY_LIVE = 3, 2


class Bundles(Protocol):
    """Where a new bundle comes from: irdim_edge.takeover.Takeover."""

    def take(self) -> tuple[Bundle, Detector] | None: ...

    def failed(self, what: str, error: BaseException) -> None: ...


@dataclass(frozen=True)
class Offer:
    """A new bundle, and what its input step and engine made of the same frame."""

    bundle: Bundle
    detector: Detector
    prepared: Prepared
    output: np.ndarray | None = None
    failure: Exception | None = None  # of its engine, which has no output then


@dataclass(frozen=True)
class Ready:
    """A frame that the engine has seen. prepared: its input, or why there is none; skipped: frames since the last one that the engine had no time for;
    breaks: indices of those among all these before which the history broke off; seconds, engine_seconds: that the input step and the engine took; offer: a
    new bundle to try on it, to be answered by Feed.answer; output: of the engine, None where there is no input."""

    shot: Shot
    prepared: Prepared | str
    skipped: list[Shot] = field(default_factory=list)
    breaks: Set[int] = frozenset()
    seconds: float = 0.0
    offer: Offer | None = None
    output: np.ndarray | None = None
    engine_seconds: float = 0.0


def engine_threads() -> int:
    """Of ONNX Runtime's threads, where the input step runs beside it: that needs a third of a core, so one is left to it where there are many."""
    cores = len(os.sched_getaffinity(0))
    return cores if cores <= FEW_CORES else cores - 1


Item = Began | Ready | BaseException | None


class Feed:
    """Frames ready for the engine, in order. Made and iterated over by one thread."""

    def __init__(
        self,
        camera: Camera,
        detector: Detector,
        takeover: Bundles,
        stopping: threading.Event,
        *,
        kept: int,
        note: Callable[[BaseException], None],
    ) -> None:
        """detector: whose input step and engine run here; kept: newest frames that a new bundle is primed with; note: told why a new bundle is not offered."""
        self._takeover, self._stopping = takeover, stopping
        self._detector, self._note = detector, note
        self._recent: deque[Frame] = deque(maxlen=kept)
        self._raw = Handover(lossless=not camera.live, stopping=stopping)
        self._prepared: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._room = threading.Semaphore(UNDER_WAY_LIVE if camera.live else UNDER_WAY)  # bounds both queues
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._trial: tuple[Bundle, Detector] | None = None  # a new bundle whose history fills
        self._running: float | None = None  # since when the engine has been at work
        self._breaks = detector.input.breaks
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (
                ("capture", partial(self._raw.fill, camera)),
                ("input", self._prepare),
                ("engine", self._run),
            )
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Began | Ready | None]:
        """Ends with the camera, or with `stopping`. None: nothing came for a moment. Raises what the camera or the input step raised, after the frames
        that came before."""
        while not self._stopping.is_set():
            try:
                item = self._ready.get(timeout=TICK)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            self._room.release()
            yield item

    @property
    def hangs(self) -> bool:
        """Whether the engine has not come back for so long that only a new process helps."""
        since = self._running
        return since is not None and time.monotonic() - since > HANGS

    def answer(self, taken: bool) -> None:
        """Whether the offered bundle is used from now on."""
        self._answers.put(taken)

    def close(self) -> None:
        """End the threads. Those of a camera that ended end by themselves; one that a library holds up ends with the process. The engine is waited for: one
        that comes back while the interpreter ends would abort it."""
        *others, engine = self._threads
        for thread in others:
            thread.join(LOOK)
            if thread.is_alive():
                self._stopping.set()
                thread.join(0.5)
        engine.join(LOOK)
        if engine.is_alive():
            self._stopping.set()
            engine.join(LAST_RUN)

    def _prepare(self) -> None:
        try:
            while self._wait_for_room() and (items := self._raw.take()):
                if isinstance(items[-1], Began):
                    self._reset("history")
                    self._broke()  # whoever reads this knows that nothing goes on
                    self._prepared.put(items[-1])
                else:
                    self._put_newest([shot for shot in items if isinstance(shot, Shot)])
            self._prepared.put(self._raw.failure)
        except BaseException as error:
            self._prepared.put(error)

    def _wait_for_room(self) -> bool:
        """False where the feed is to stop."""
        while not self._stopping.is_set():
            if self._room.acquire(timeout=LOOK):
                return True
        return False

    def _put_newest(self, shots: list[Shot]) -> None:
        begun = time.perf_counter()
        *older, newest = shots
        breaks = set()
        for shot in older:
            self._before(shot)
            self._detector.prime([shot.frame])
            if self._trial is not None:
                self._trial[1].prime([shot.frame])
            self._recent.append(shot.frame)
            if self._broke():
                breaks.add(shot.frame.index)
        self._before(newest)
        prepared = self._detector.input.push(newest.frame)
        seconds = time.perf_counter() - begun
        offer = self._offer(newest)
        self._recent.append(newest.frame)
        if self._broke():
            breaks.add(newest.frame.index)
        self._prepared.put(Ready(newest, prepared, older, breaks, seconds, offer))
        if offer is not None:
            self._settle(offer)

    def _before(self, shot: Shot) -> None:
        """What came before the shutter closed, or before the gain changed, is no history for what comes after; nor what came before a gap."""
        if shot.fault:
            self._reset(shot.fault)
        self._detector.input.expect(shot.interval)
        if self._trial is not None:
            self._trial[1].input.expect(shot.interval)

    def _broke(self) -> bool:
        """Whether the history broke off since this was asked last."""
        before, self._breaks = self._breaks, self._detector.input.breaks
        return before != self._breaks

    def _reset(self, reason: str) -> None:
        self._detector.input.reset(reason)
        self._recent.clear()
        if self._trial is not None:
            self._trial[1].input.reset(reason)

    def _offer(self, shot: Shot) -> Offer | None:
        """A new bundle, once it can read this frame; until then its history fills beside the old one's."""
        taken = self._trial or self._takeover.take()
        if taken is None:
            return None
        bundle, detector = taken
        try:
            if self._trial is None:
                detector.input.expect(shot.interval)
                detector.prime(list(self._recent))
            prepared = detector.input.push(shot.frame)
            self._trial = taken if isinstance(prepared, str) else None
            return None if isinstance(prepared, str) else Offer(bundle, detector, prepared)
        except Exception as error:  # whatever it is, the old one has not missed a frame
            self._trial = None
            self._takeover.failed(bundle.digest[:16], error)
            self._note(error)
            return None

    def _settle(self, offer: Offer) -> None:
        while not self._stopping.is_set():
            try:
                if self._answers.get(timeout=LOOK):
                    self._detector, self._breaks = offer.detector, offer.detector.input.breaks
                return
            except queue.Empty:
                continue

    def _run(self) -> None:
        """The engine thread. A new bundle is settled before the next frame is prepared, so that the detector does not change under way."""
        try:
            while not self._stopping.is_set():
                try:
                    item = self._prepared.get(timeout=LOOK)
                except queue.Empty:
                    continue
                self._ready.put(self._seen(item) if isinstance(item, Ready) else item)
                if item is None or isinstance(item, BaseException):
                    return
        except BaseException as error:  # raised again where the feed is read
            self._ready.put(error)

    def _seen(self, ready: Ready) -> Ready:
        """With what the engine makes of it."""
        if isinstance(ready.prepared, str):
            return replace(ready, offer=self._tried(ready.offer))
        output, seconds = self._timed(self._detector, ready.prepared)
        return replace(ready, output=output, engine_seconds=seconds, offer=self._tried(ready.offer))

    def _tried(self, offer: Offer | None) -> Offer | None:
        """With what its engine makes of the frame."""
        if offer is None:
            return None
        try:
            return replace(offer, output=self._timed(offer.detector, offer.prepared)[0])
        except Exception as error:  # whatever it is, the old one goes on
            return replace(offer, failure=error)

    def _timed(self, detector: Detector, prepared: Prepared) -> tuple[np.ndarray, float]:
        """The output of an engine, and the seconds that it took."""
        self._running = begun = time.monotonic()
        try:
            return detector.engine.run(prepared.image), time.monotonic() - begun
        finally:
            self._running = None
