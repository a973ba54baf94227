"""A live camera: opened again when it is lost, its frames counted, what is wrong with them recognised."""

import contextlib
import logging
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TypeVar

import numpy as np

from irdim.errors import InputError
from irdim.history import longest_wait
from irdim.sources import Frame
from irdim_edge.cameras.camera import Began, Shot, check_interval, utc_of
from irdim_edge.cameras.conditions import Conditions
from irdim_edge.cameras.drivers import CameraLost, Driver, Grabbed

logger = logging.getLogger("irdim_edge")
Answer = TypeVar("Answer")

LOOK_EVERY = 0.2  # seconds that one wait for a frame lasts, so that a stop is heard
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds before the first and between later tries to open it again
HANGS = 30.0  # seconds that one call of a library may take
MEASURED = 50  # frames from which its interval is judged
ARRIVAL = 0.5  # seconds between frames at least, as far as gaps go, where their times are those of arrival: a network is late by more than a frame


class Live:
    """Frames of a driver. counts: lost, repeated, backwards, reconnected, shutter, gain, black, saturated (docs/cameras.md)."""

    live = True

    def __init__(
        self,
        name: str,
        driver: Driver,
        *,
        interval: float | None = None,
        nominal: float | None = None,
        step: int = 1,
        timeout: float = 3.0,
        stuck: float = 5.0,
        conditions: bool = True,
    ) -> None:
        """interval: seconds between the camera's frames, None: measured; nominal: those of the bundle; timeout: seconds without a frame, and stuck:
        seconds of the same picture, after which the camera counts as lost; conditions: whether shutter and gain are looked for."""
        self._name, self._driver, self._interval, self._nominal = name, driver, interval, nominal
        self._step, self._timeout, self._stuck, self._watch = step, timeout, stuck, conditions
        self.counts: Counter[str] = Counter()
        self._measured: float | None = None  # seconds between its frames, once enough have come
        self._calling: float | None = None  # since when the driver has been at work
        self._lost, self._unsuited, self._picture = "not opened yet", "", ""

    @property
    def state(self) -> dict[str, str | int | float]:
        """Its driver, and the frames that are taken."""
        return {"driver": self._driver.name, "every_nth_frame": self._step}

    @property
    def trouble(self) -> str:
        """Why no frames come, or why they do not serve."""
        return "the driver hangs" if self.hangs else self._lost or self._unsuited or self._picture

    @property
    def hangs(self) -> bool:
        """Whether the driver's library has not come back for so long that only a new process helps."""
        since = self._calling
        return since is not None and time.monotonic() - since > HANGS

    def shots(self, stopping: threading.Event) -> Iterator[Began | Shot]:
        """One stream each time that the camera is opened; ends with `stopping` alone."""
        wait = FIRST_WAIT
        while not stopping.is_set():
            try:
                self._call(self._driver.start)
                at = datetime.now(timezone.utc)
                yield Began(f"{self._name}-{at:%Y%m%dT%H%M%S.%f}"[:-3] + "Z", self._interval)
                for number, shot in enumerate(self._shots(stopping)):
                    if number:  # a camera that hangs gives one picture each time that it is opened
                        wait, self._lost = FIRST_WAIT, ""
                    yield shot
            except Exception as error:  # CameraLost, and whatever a library throws at what a broken camera sends
                text = " ".join(str(error).split()) or type(error).__name__
                if text != self._lost:
                    logger.error("camera %s: %s; it is opened again until it answers", self._name, text)
                self._lost = text
                self.counts["reconnected"] += 1
            finally:
                with contextlib.suppress(Exception):
                    self._call(self._driver.stop)
            stopping.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _call(self, action: Callable[..., Answer], *arguments: object) -> Answer:
        """Call the driver, and note how long it has been at work."""
        self._calling = time.monotonic()
        try:
            return action(*arguments)
        finally:
            self._calling = None

    def _shots(self, stopping: threading.Event) -> Iterator[Shot]:
        came = changed = time.monotonic()
        last: Grabbed | None = None  # that came
        shown: Grabbed | None = None  # that was no repetition
        first, index, waits = 0.0, -1, list[float]()
        missing, repeats = 0, False  # since the last picture; whether this core sends one several times
        fault, conditions = "", Conditions()
        while not stopping.is_set():
            got, now = self._call(self._driver.grab, LOOK_EVERY), time.monotonic()
            if got is None:
                if now - came > self._timeout:
                    raise CameraLost(f"no frame for {self._timeout:g} s")
                continue
            came = now
            repeated = last is not None and _same(got.pixels, last.pixels)
            if last is None:
                first = got.time
            else:
                missing += self._missing(last, got)
            last = got
            if repeated:
                repeats = True
                self.counts["repeated"] += 1
                if now - changed > self._stuck:
                    raise CameraLost(f"the same picture for {self._stuck:g} s: the camera hangs, or shows {_what(got)}")
                continue
            # a core may send each of its pictures several times: only pictures are numbered, and it is as fast as they come; of what is missing then nobody
            # knows whether it was a picture, but by the clock
            if shown is not None and repeats:
                missing = round((got.time - shown.time) / self._measured) - 1 if self._measured else 0
            index, missing = index + 1 + max(missing, 0), 0
            if shown is not None and got.time > shown.time:
                waits.append(got.time - shown.time)
            if len(waits) == MEASURED:
                self._judge(waits)
            changed, shown = now, got
            found = conditions.look(got.pixels) if self._watch else ""
            self._picture = conditions.picture
            self.counts.update(name for name in (found, conditions.picture) if name)
            fault = found or fault  # of a frame that is not taken: it parts those before from those after all the same
            if index % self._step == 0:
                frame = Frame(index // self._step, got.time - first, got.pixels)
                known = self._interval or self._measured
                if known and not self._interval and got.time == got.stamped:
                    known = max(known, ARRIVAL / self._step)
                interval = known * self._step if known else None
                yield Shot(frame, utc_of(got.stamped), got.stamped, fault, interval)
                fault = ""

    def _missing(self, last: Grabbed, got: Grabbed) -> int:
        """Frames that the driver lost between two, by the camera's count where it has one, else by the clock."""
        if got.time <= last.time:
            self.counts["backwards"] += 1
            return 0
        if got.number is not None and last.number is not None:
            missing = got.number - last.number - 1
        else:
            interval = self._interval or self._measured
            missing = round((got.time - last.time) / interval) - 1 if interval else 0
        missing = max(missing, 0)  # a count that begins anew is no loss
        self.counts["lost"] += missing
        return missing

    def _judge(self, waits: list[float]) -> None:
        """Say so where the camera's own interval does not suit the bundle; then every frame would be a gap."""
        self._measured = statistics.median(waits)
        del waits[: -MEASURED // 2]
        before, self._unsuited = self._unsuited, ""
        try:
            check_interval(f"camera {self._name}", self._measured, self._nominal, self._step)
            if self._interval and not self._nominal and self._measured > longest_wait(self._interval):
                raise InputError(
                    f"camera {self._name}: {self._measured:g} s between its pictures, but camera.interval says {self._interval:g} s; every frame "
                    "would be a gap: set it to 0, and it is measured"
                )
        except InputError as error:
            self._unsuited = str(error)
            if not before:
                logger.error("%s", error)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two frames hold the same counts; a row tells most of them apart."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    row = len(one) // 2
    return bool(np.array_equal(one[row], other[row]) and np.array_equal(one, other))


def _what(got: Grabbed) -> str:
    low, high = int(got.pixels.min()), int(got.pixels.max())
    return f"nothing but {low}" if low == high else "a frozen scene"
