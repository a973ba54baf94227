"""Capture and the input step, each in a thread of its own, a bounded step ahead of the engine.

    camera -> capture thread -> Handover -> input thread -> Feed -> whoever runs the engine

A replay loses nothing: each waits for the next. Of a live camera the newest frame counts: while the engine is busy frames gather, and of those that have
the newest goes on to the engine; the older ones enter the history (so that its stack is the one it would be) and are counted as skipped.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from irdim.bundle import Bundle
from irdim.detector import Detector
from irdim.input_step import Prepared
from irdim.sources import Frame
from irdim_edge.cameras import Began, Camera, Shot

TICK = 0.25  # seconds without a frame after which the feed gives None, so that its reader can look around
LOOK = 0.1  # seconds between two looks at `stopping` while waiting
AHEAD = 2  # frames of a replay that wait
MOST_WAITING = 64  # frames of a live camera that wait; the oldest go beyond, and leave a gap


class Bundles(Protocol):
    """Where a new bundle comes from: irdim_edge.takeover.Takeover."""

    def take(self) -> tuple[Bundle, Detector] | None: ...

    def failed(self, what: str, error: BaseException) -> None: ...


@dataclass(frozen=True)
class Offer:
    """A new bundle, and what its input step made of the same frame."""

    bundle: Bundle
    detector: Detector
    prepared: Prepared


@dataclass(frozen=True)
class Ready:
    """A frame that the engine can take. prepared: its input, or why there is none; skipped: frames since the last one that the engine had no time for;
    broke: whether the history broke off since; seconds: that the input step took; offer: a new bundle to try on it, to be answered by Feed.answer."""

    shot: Shot
    prepared: Prepared | str
    skipped: list[Shot] = field(default_factory=list)
    broke: bool = False
    seconds: float = 0.0
    offer: Offer | None = None


class Handover:
    """Between two threads: bounded, in order. Lossless, or the oldest frames go when it is full."""

    def __init__(self, *, lossless: bool, stopping: threading.Event) -> None:
        self.overrun = 0  # frames that found no room and left a gap
        self._lossless, self._stopping = lossless, stopping
        self._items: deque[Began | Shot] = deque()
        self._condition, self._closed = threading.Condition(), False

    def put(self, item: Began | Shot) -> None:
        with self._condition:
            while self._lossless and len(self._items) >= AHEAD and not self._stopping.is_set():
                self._condition.wait(LOOK)
            if len(self._items) >= MOST_WAITING:
                oldest = next((i for i, one in enumerate(self._items) if isinstance(one, Shot)), None)
                if oldest is not None:
                    del self._items[oldest]
                    self.overrun += 1
            self._items.append(item)
            self._condition.notify_all()

    def close(self) -> None:
        """Nothing more comes."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def take(self) -> list[Began | Shot]:
        """What waits: one item where none may be lost, else all of one stream; nothing once it is closed and empty, or stopped."""
        with self._condition:
            while not self._items and not self._closed and not self._stopping.is_set():
                self._condition.wait(LOOK)
            if self._stopping.is_set() or not self._items:
                return []
            taken = [self._items.popleft()]
            if not self._lossless and isinstance(taken[0], Shot):
                while self._items and isinstance(self._items[0], Shot):
                    taken.append(self._items.popleft())
            self._condition.notify_all()
            return taken


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
        """detector: whose input step runs here; kept: newest frames that a new bundle is primed with; note: told why a new bundle is not offered."""
        self._camera, self._takeover, self._stopping = camera, takeover, stopping
        self._input, self._note = detector.input, note
        self._recent: deque[Frame] = deque(maxlen=kept)
        self._raw = Handover(lossless=not camera.live, stopping=stopping)
        self._ready: queue.Queue[Began | Ready | BaseException | None] = queue.Queue(1)
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._trial: tuple[Bundle, Detector] | None = None  # a new bundle whose history fills
        self._breaks = self._input.breaks
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("capture", self._capture), ("input", self._prepare))
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
            yield item

    def answer(self, taken: bool) -> None:
        """Whether the offered bundle is used from now on."""
        self._answers.put(taken)

    def close(self) -> None:
        """End the threads. Those of a camera that ended end by themselves; one that a library holds up ends with the process."""
        for thread in self._threads:
            thread.join(LOOK)
            if thread.is_alive():
                self._stopping.set()
                thread.join(0.5)

    def _capture(self) -> None:
        try:
            for item in self._camera.shots(self._stopping):
                self._raw.put(item)
                self._camera.counts["overrun"] = self._raw.overrun
        except BaseException as error:  # raised again where the feed is read
            self._failure = error
        finally:
            self._raw.close()

    def _prepare(self) -> None:
        try:
            while items := self._raw.take():
                if isinstance(items[-1], Began):
                    self._reset("history")
                    self._put(items[-1])
                else:
                    self._put_newest([shot for shot in items if isinstance(shot, Shot)])
            self._put(self._failure)
        except BaseException as error:
            self._put(error)

    def _put_newest(self, shots: list[Shot]) -> None:
        begun = time.perf_counter()
        *older, newest = shots
        for shot in older:
            self._void(shot)
            self._input.prime([shot.frame])
            if self._trial is not None:
                self._trial[1].prime([shot.frame])
            self._recent.append(shot.frame)
        self._void(newest)
        prepared = self._input.push(newest.frame)
        seconds = time.perf_counter() - begun
        offer = self._offer(newest.frame)
        self._recent.append(newest.frame)
        broke, self._breaks = self._input.breaks != self._breaks, self._input.breaks
        self._put(Ready(newest, prepared, older, broke, seconds, offer))
        if offer is not None:
            self._settle(offer)

    def _void(self, shot: Shot) -> None:
        """What came before the shutter closed, or before the gain changed, is no history for what comes after."""
        if shot.fault:
            self._reset(shot.fault)

    def _reset(self, reason: str) -> None:
        self._input.reset(reason)
        self._recent.clear()
        if self._trial is not None:
            self._trial[1].input.reset(reason)

    def _offer(self, frame: Frame) -> Offer | None:
        """A new bundle, once it can read this frame; until then its history fills beside the old one's."""
        taken = self._trial or self._takeover.take()
        if taken is None:
            return None
        bundle, detector = taken
        try:
            if self._trial is None:
                detector.prime(list(self._recent))
            prepared = detector.input.push(frame)
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
                    self._input, self._breaks = offer.detector.input, offer.detector.input.breaks
                return
            except queue.Empty:
                continue

    def _put(self, item: Began | Ready | BaseException | None) -> None:
        while not self._stopping.is_set():
            try:
                self._ready.put(item, timeout=LOOK)
                return
            except queue.Full:
                continue
