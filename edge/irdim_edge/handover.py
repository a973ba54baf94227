"""Frames from the thread that takes them from the camera to the one that works on them."""

import threading
from collections import deque

from irdim_edge.cameras import Began, Camera, Shot

LOOK = 0.1  # seconds between two looks at `stopping` while waiting
AHEAD = 2  # frames of a replay that wait
MOST_WAITING = 64  # frames of a live camera that wait; the oldest go beyond, and leave a gap


class Handover:
    """Between two threads: bounded, in order. Lossless, or the oldest frames go when it is full."""

    def __init__(self, *, lossless: bool, stopping: threading.Event) -> None:
        self.overrun = 0  # frames that found no room and left a gap
        self.failure: BaseException | None = None  # what the camera raised
        self._lossless, self._stopping = lossless, stopping
        self._items: deque[Began | Shot] = deque()
        self._condition, self._closed = threading.Condition(), False

    def fill(self, camera: Camera) -> None:
        """Put what a camera gives until it ends, fails or is stopped, and close; for a thread of its own. Its count of `overrun` goes along."""
        try:
            for item in camera.shots(self._stopping):
                self.put(item)
                camera.counts["overrun"] = self.overrun
        except BaseException as error:  # raised again where this is read
            self.failure = error
        finally:
            self.close()

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
