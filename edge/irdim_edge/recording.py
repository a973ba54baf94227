"""What a camera sees, lossless and timed, as sequences that `irdim-train import` takes: NAME.y16 (or .raw, 8 bits) with NAME.json and NAME.times.npy.

While a part is written it lies in a folder `.NAME.partial`; it gets its name when it is whole. What a kill or a power cut left is finished by the next
recording into the same folder: as many frames as were written with their times.
"""

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from irdim.errors import InputError
from irdim.files import atomic_file, make_folder, read_json, sync_folder, write_json
from irdim.sources import Frame
from irdim_edge.cameras import Began, Camera, Shot
from irdim_edge.handover import Handover
from irdim_edge.locks import take_lock

PARTIAL = ".partial"
FRAMES, TIMES, SHAPE, LOCK = "frames", "times", "shape.json", ".record.lock"
GRACE = 10.0  # seconds that opening a camera may take
LOOK_EVERY = 100  # frames between two looks at the disk


@dataclass
class Recorded:
    """frames, bytes: written; overrun: that found no room because the disk was slow; parts: finished files; finished: what earlier recordings left."""

    frames: int = 0
    bytes: int = 0
    overrun: int = 0
    parts: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    state: str = "recording"


def record(
    camera: Camera,
    folder: Path,
    *,
    stopping: threading.Event,
    frames: int | None = None,
    seconds: float | None = None,
    part_seconds: float = 600.0,
    keep_free: int = 1 << 30,
    show: Callable[[Recorded], None] = lambda recorded: None,
) -> Recorded:
    """Record until so many frames or seconds (by when its frames were taken) have gone, the camera ends, or `stopping` is set; with `seconds`, a camera
    that does not answer is waited for no longer than GRACE beyond them.

    part_seconds: after which a new sequence begins, as it does when the camera is opened again, its frames change in size or its clock goes back;
    keep_free: bytes of the disk that are left free. Raises InputError where the folder cannot be written, and where the disk is full: what was taken before
    is finished.
    """
    recorded = Recorded()
    try:
        make_folder(folder)
        if (lock := take_lock(folder / LOCK)) is None:
            raise InputError(f"{folder}: another recording is written here; choose another folder")
        recorded.finished = [p.name for p in finish_left(folder)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None
    waiting = Handover(lossless=not camera.live, stopping=stopping)
    threading.Thread(target=waiting.fill, args=(camera,), name="capture", daemon=True).start()
    enough = threading.Timer((seconds or 0.0) + GRACE, stopping.set)
    enough.daemon = True
    if seconds is not None and camera.live:
        enough.start()
    parts = _Parts(folder, part_seconds, keep_free, recorded)
    limits = _Limits(frames, seconds)
    try:
        while not stopping.is_set() and not limits.reached and (items := waiting.take()):
            for item in items:
                if isinstance(item, Began):
                    parts.begin(item)
                elif limits.take(item):
                    parts.write(item.frame)
            recorded.overrun = waiting.overrun
            show(recorded)
        if waiting.failure is not None:
            raise waiting.failure
    finally:
        enough.cancel()
        recorded.state = "finished" if limits.reached or not stopping.is_set() else "stopped"
        stopping.set()
        parts.close()
        lock.close()
    return recorded


def finish_left(folder: Path) -> list[Path]:
    """Give their names to the parts that a killed recording left. Returns the sequences."""
    found = []
    for partial in sorted(folder.glob(f".*{PARTIAL}")):
        if (path := _finish(partial)) is not None:
            found.append(path)
    return found


class _Limits:
    def __init__(self, frames: int | None, seconds: float | None) -> None:
        self._frames, self._seconds = frames, seconds
        self._began: float | None = None
        self._taken, self.reached = 0, False

    def take(self, shot: Shot) -> bool:
        """Whether this frame is still wanted."""
        self._began = shot.stamped if self._began is None else self._began
        if self._seconds is not None and shot.stamped - self._began >= self._seconds:
            self.reached = True
        if self.reached:
            return False
        self._taken += 1
        self.reached = self._taken == self._frames
        return True


class _Parts:
    """The part that is written now, and the ones before."""

    def __init__(self, folder: Path, seconds: float, keep_free: int, recorded: Recorded) -> None:
        self._folder, self._seconds, self._keep_free, self._recorded = folder, seconds, keep_free, recorded
        self._stream, self._number = Began("camera"), 0
        self._part: _Part | None = None

    def begin(self, stream: Began) -> None:
        self.close()
        self._stream, self._number = stream, 0

    def write(self, frame: Frame) -> None:
        part = self._part
        if part is not None and not part.takes(frame, self._seconds):
            self.close()
            part = None
        if self._recorded.frames % LOOK_EVERY == 0:
            self._check_room(frame.pixels.nbytes)
        try:
            if part is None:
                part = self._part = self._open(frame)
            part.write(frame)
        except OSError as error:
            raise InputError(f"{self._folder}: cannot be written ({error.strerror}); what was taken is kept") from None
        self._recorded.frames += 1
        self._recorded.bytes += frame.pixels.nbytes

    def close(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.close()
            if (path := _finish(part.folder)) is not None:
                self._recorded.parts.append(path.name)

    def _open(self, frame: Frame) -> "_Part":
        while True:
            self._number += 1
            name = f"{self._stream.name}-{self._number:03d}"
            taken = any((self._folder / f"{name}{suffix}").exists() for suffix in (".y16", ".raw"))
            if not taken:
                return _Part(self._folder / f".{name}{PARTIAL}", frame)

    def _check_room(self, frame_bytes: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < self._keep_free + LOOK_EVERY * frame_bytes:
            raise InputError(
                f"{self._folder}: {free >> 20} MB are left on the disk; recording stopped, what was taken is kept (--keep-free)"
            )


class _Part:
    def __init__(self, folder: Path, first: Frame) -> None:
        folder.mkdir()
        self.folder = folder
        self._shape, self._dtype = first.pixels.shape, first.pixels.dtype
        self._began = self._last = first.time
        write_json(folder / SHAPE, _sidecar(self._shape, self._dtype))
        # unbuffered: what a kill leaves has a time to each frame
        self._frames, self._times = ((folder / name).open("wb", buffering=0) for name in (FRAMES, TIMES))

    def takes(self, frame: Frame, seconds: float) -> bool:
        same = frame.pixels.shape == self._shape and frame.pixels.dtype == self._dtype
        return same and self._last < frame.time <= self._began + seconds

    def write(self, frame: Frame) -> None:
        data = np.ascontiguousarray(frame.pixels).data.cast("B")
        while data:  # a full disk may take a part
            data = data[self._frames.write(data) :]
        self._times.write(np.float64(frame.time).tobytes())
        self._last = frame.time

    def close(self) -> None:
        for file in (self._frames, self._times):
            os.fsync(file.fileno())
            file.close()


def _sidecar(shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    return {"width": shape[1], "height": shape[0], "bits": 8 * dtype.itemsize}


def _finish(partial: Path) -> Path | None:
    """Cut a part to the frames that have a time, and give it its name, the frames last; None where it holds none."""
    name, frames = partial.name.removeprefix(".").removesuffix(PARTIAL), partial / FRAMES
    try:
        sidecar = dict(read_json(partial / SHAPE, "shape of a part"))
        times = np.fromfile(partial / TIMES, np.float64)
        size = sidecar["width"] * sidecar["height"] * sidecar["bits"] // 8
        count = min(len(times), frames.stat().st_size // size)
    except (OSError, InputError, KeyError, TypeError, ZeroDivisionError):
        count = 0
    if not count:
        shutil.rmtree(partial)
        return None
    os.truncate(frames, count * size)
    if count > 1:
        sidecar["interval"] = float(np.median(np.diff(times[:count])))
    folder = partial.parent
    write_json(folder / f"{name}.json", sidecar)
    with atomic_file(folder / f"{name}.times.npy", "wb") as file:
        np.save(file, times[:count])
    target = folder / f"{name}{'.raw' if sidecar['bits'] == 8 else '.y16'}"
    frames.rename(target)
    shutil.rmtree(partial)
    sync_folder(folder)
    return target
