"""What the frames of one sequence tell, seen once and in order: what is broken, frozen or twice, and how the camera moves."""

import hashlib
from dataclasses import dataclass, field

import cv2
import numpy as np

from irdim.differencing import high_pass
from irdim.history import GAP
from irdim.registration import Texture, estimate_shift, texture
from irdim.sources import Frame
from irdim_train.checking.findings import Finding

FROZEN = 2  # equal frames in a row, beside the first, from which a camera was stuck; one is a repeated frame
SEEN_AS = 8  # bytes of a frame's digest
THUMBNAIL = 48  # px; side of what two scenes are compared by


@dataclass
class FrameCheck:
    """Fed frame by frame. digests: of every frame, with its number; shifts: camera motion (dy, dx) since the frame before, where it was asked for."""

    name: str
    interval: float | None
    findings: list[Finding] = field(default_factory=list)
    digests: dict[bytes, int] = field(default_factory=dict)
    shifts: list[tuple[float, float]] = field(default_factory=list)
    count: int = 0
    shape: tuple[int, int] | None = None
    dtype: np.dtype | None = None
    first: np.ndarray | None = None
    last_time: float = 0.0
    _equal: int = 0
    _stills: list[tuple[int, int]] = field(default_factory=list)  # runs of equal frames: how many, the first
    _gaps: int = 0
    _longest: tuple[float, int] = (0.0, 0)
    _backward: int | None = None
    _texture: Texture | None = None
    _last: bytes = b""

    def push(self, frame: Frame, motion: bool) -> None:
        """motion: whether the camera's motion to this frame matters (it is the dear part)."""
        pixels = frame.pixels
        if self.first is None:
            self.shape, self.dtype, self.first = (pixels.shape[0], pixels.shape[1]), pixels.dtype, pixels.copy()
        self._look_for_copies(
            frame.index, hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=SEEN_AS).digest()
        )
        self._look_at_time(frame)
        newer = texture(pixels) if motion else None
        known = newer is not None and self._texture is not None
        self.shifts.append(estimate_shift(self._texture, newer) if known else (0.0, 0.0))  # type: ignore[arg-type]
        self._texture = newer
        self.count += 1

    def finish(self) -> None:
        """After the last frame: what can only be said of all of them."""
        self._end_of_equal(self.count)
        if self._stills:
            equal, begin = max(self._stills, key=lambda still: still[0])
            what = "the camera was stuck" if equal > FROZEN else "a frame was repeated"
            more = "" if len(self._stills) == 1 else f"; the longest of {len(self._stills)} such runs in this sequence"
            self._find(
                "frozen", begin, f"{equal} equal frames in a row, {what}; a difference shows nothing there{more}"
            )
        if self._backward is not None:
            self._find("time", self._backward, "its time is not after that of the frame before; correct the times")
        if self._gaps:
            seconds, frame = self._longest
            self._find(
                "time", frame, f"{self._gaps} gaps in time, the longest {seconds:g} s; no stack reaches over a gap"
            )

    def _look_for_copies(self, index: int, digest: bytes) -> None:
        if digest == self._last:
            self._equal += 1
        else:
            self._end_of_equal(index)
            if digest in self.digests:
                self._find("duplicate", index, f"the same pixels as frame {self.digests[digest]}; remove one of them")
        self.digests.setdefault(digest, index)
        self._last = digest

    def _end_of_equal(self, index: int) -> None:
        if self._equal:
            self._stills.append((self._equal + 1, index - self._equal - 1))
        self._equal = 0

    def _look_at_time(self, frame: Frame) -> None:
        if self.count:
            waited = frame.time - self.last_time
            if waited <= 0 and self._backward is None:
                self._backward = frame.index
            if self.interval and waited > GAP * self.interval:
                self._gaps += 1
                self._longest = max(self._longest, (waited, frame.index))
        self.last_time = frame.time

    def _find(self, kind: str, frame: int, text: str) -> None:
        self.findings.append(Finding(kind, f"{self.name}, frame {frame}: {text}", self.name, frame))


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """What a scene looks like, (THUMBNAIL squared,) float32 of norm 1: its structures of medium size. Zero where it has none above its noise."""
    small = cv2.resize(frame.astype(np.float32), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    band = high_pass(cv2.GaussianBlur(small, (0, 0), 1.0))
    band -= band.mean()
    # what is left of white noise after shrinking and blurring: such a scene has nothing to be known by
    rough = np.median(np.abs(np.diff(frame.astype(np.float32), axis=1))) / 0.954
    shrunk = max(frame.shape[0] * frame.shape[1] / THUMBNAIL**2, 1.0) ** 0.5
    if band.std() < 2 * max(rough, 0.5) / shrunk:
        return np.zeros(THUMBNAIL**2, np.float32)
    return (band / np.linalg.norm(band)).ravel().astype(np.float32)
