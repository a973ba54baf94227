"""OpenCV and FFmpeg without their own lines on stderr, which would only hide ours."""

import contextlib
import os
from collections.abc import Iterator

import cv2

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read when the first video is opened


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """OpenCV's log is silent within."""
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)
