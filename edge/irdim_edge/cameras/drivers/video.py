"""RTSP and other network video through OpenCV: 8 bits and lossy, so for demonstration."""

import time
from urllib.parse import urlsplit, urlunsplit

import cv2

from irdim_edge.cameras.drivers.driver import CameraLost, Grabbed

PATIENCE = 5000  # milliseconds that opening and reading may take


class Video:
    """A URL that FFmpeg reads. Time stamps are those of arrival: the container's drift against the camera's."""

    def __init__(self, url: str) -> None:
        self.name, self._url = "ffmpeg", url
        self._capture: cv2.VideoCapture | None = None

    def start(self) -> None:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, PATIENCE, cv2.CAP_PROP_READ_TIMEOUT_MSEC, PATIENCE]
        self._capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, limits)
        if not self._capture.isOpened():
            raise CameraLost(f"{_plain(self._url)} does not answer")

    def grab(self, seconds: float) -> Grabbed | None:
        if self._capture is None:
            raise CameraLost(f"{_plain(self._url)} is not open")
        there, image = self._capture.read()
        if not there:
            raise CameraLost(f"{_plain(self._url)} ended, or gave nothing for {PATIENCE / 1000:g} s")
        now = time.monotonic()
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return Grabbed(grey, now, now)

    def stop(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _plain(url: str) -> str:
    """The URL without a password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
