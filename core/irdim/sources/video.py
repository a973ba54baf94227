"""A video file, decoded to grey one frame at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from irdim.errors import InputError
from irdim.sources.clock import Clock, find_clock
from irdim.sources.decoders import quiet
from irdim.sources.frame import Frame
from irdim.sources.limits import check_frame_size

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv")
_COUNTED = (".mp4", ".m4v", ".mov", ".avi")  # containers with an index of their frames, whose count can be relied on
_LOST = 2  # frames that an index may count and a sound file not show (edit lists, a last incomplete picture)
_FASTEST = 1000.0  # Hz; containers without a rate report their time base, 90 kHz and the like


@dataclass(frozen=True, eq=False)
class Video:
    """FrameSource over a video. A decoder conceals damage within a frame; what it cannot decode ends in InputError."""

    name: str
    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    length: int | None
    clock: Clock = field(default_factory=Clock)

    @property
    def interval(self) -> float | None:
        return self.clock.interval

    def __iter__(self) -> Iterator[Frame]:
        capture = _capture(self.path)
        index = 0
        try:
            while (pixels := _next(capture)) is not None:
                if pixels.shape != self.shape or pixels.dtype != self.dtype:
                    was, now = (
                        f"{self.shape[1]}x{self.shape[0]} {self.dtype}",
                        f"{pixels.shape[1]}x{pixels.shape[0]} {pixels.dtype}",
                    )
                    raise InputError(
                        f"{self.path}, frame {index}: {now}, but the sequence began with {was}; cut it there"
                    )
                yield Frame(index, self.clock.at(index), pixels)
                index += 1
        finally:
            capture.release()
        if self.length is not None and self.path.suffix.lower() in _COUNTED and index < self.length - _LOST:
            raise InputError(
                f"{self.path}, frame {index}: cannot be decoded, of {self.length}; copy it again or cut it"
            )
        self.clock.check_length(index)


def open_video(path: Path, name: str, interval: float | None) -> Video:
    """Open a video; its first frame gives shape and depth, its frame rate the interval where none is given."""
    if path.stat().st_size == 0:
        raise InputError(f"{path}: an empty file; copy it again")
    capture = _capture(path)
    try:
        first = _next(capture)
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    if first is None:
        raise InputError(f"{path}: no frame can be decoded; copy it again or convert it to images or .npy")
    clock = find_clock([path.with_name(f"{path.stem}.times{suffix}") for suffix in (".npy", ".csv")], interval)
    if clock.interval is None and np.isfinite(rate) and 0 < rate <= _FASTEST:
        clock = Clock(1 / rate)
    length = int(count) if np.isfinite(count) and 0 < count < 2**31 else None
    return Video(name, path, first.shape, first.dtype, length, clock)


def _capture(path: Path) -> Any:
    with quiet():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise InputError(f"{path}: truncated, or no video; copy it again or convert it to images or .npy")
    check_frame_size(path, *(int(capture.get(k)) for k in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)))
    code = int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT))
    tag = code.to_bytes(4, "little") if code > 0 else b"    "
    if tag[:1] == b"Y" and 8 < tag[3] <= 16:  # FFmpeg's tags of deep planar formats end in their depth
        if tag != b"Y1\x00\x10":
            capture.release()
            raise InputError(
                f"{path}: {tag[3]}-bit video would be cut to 8 bits; convert it to 16-bit grey PNG, FFV1 or .npy"
            )
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    return capture


def _next(capture: Any) -> np.ndarray | None:
    try:
        found, pixels = capture.read()
    except cv2.error:
        return None
    if not found:
        return None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels
