"""Pipelines of GStreamer that stand for a camera: raw counts from a file at the camera's pace."""

from pathlib import Path

import numpy as np
import pytest
from test_daemon import place

RATE = 25


def needs_gstreamer() -> None:
    """Skip a test where GStreamer or its Python bindings are absent."""
    try:
        import gi

        gi.require_version("Gst", "1.0")
        from gi.repository import Gst
    except (ImportError, ValueError):
        pytest.skip("GStreamer's Python bindings (python3-gi, gir1.2-gstreamer-1.0) are not installed")
    Gst.init(None)
    for element in ("rawvideoparse", "videotestsrc", "concat", "clocksync"):
        if Gst.ElementFactory.find(element) is None:
            pytest.skip(f"GStreamer's element {element} is not installed")


def scene(length: int, seed: int = 7) -> np.ndarray:
    """(T, 96, 120) float: a textured sky with noise of 12 counts and the moving target of test_daemon."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :120] + 0.5
    sky = 3000 + 400 * np.sin(x / 17) * np.cos(y / 13) + 3 * y
    frames = sky + rng.normal(0, 12, (length, 96, 120))
    for t in range(length):
        px, py = place(t)
        frames[t] += 140 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 3.4)
    return frames


def counts(frames: np.ndarray) -> np.ndarray:
    return np.rint(frames.clip(0, 65535)).astype("<u2")


def pipeline(path: Path, frames: np.ndarray, rate: int = RATE) -> str:
    """Write frames (T, H, W) uint16 to a file and give the pipeline that plays it at `rate`; a file waits where a camera would not, so that none is lost."""
    counts(frames).tofile(path)
    _, height, width = frames.shape
    parse = f"rawvideoparse format=gray16-le width={width} height={height} framerate={rate}/1"
    return f"filesrc location={path} blocksize={2 * height * width} ! {parse} ! clocksync ! appsink sync=false max-buffers=8"
