"""Cameras through GStreamer: any pipeline that ends in grey frames, and V4L2 devices by its v4l2src."""

import math
import shlex
import time
from typing import Any

import numpy as np

from irdim.errors import InputError
from irdim_edge.cameras.drivers.driver import CameraLost, Grabbed
from irdim_edge.cameras.drivers.typelib import load_typelib

DTYPES: dict[str, np.dtype[Any]] = {"GRAY8": np.dtype(np.uint8), "GRAY16_LE": np.dtype("<u2")}
SINK = "appsink name=irdim sync=false max-buffers=32 drop=true caps=video/x-raw,format=(string){GRAY16_LE,GRAY8}"
PACKAGES = "gir1.2-gstreamer-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
START = 5.0  # seconds that a pipeline may take until it runs
COUNTED = ("v4l2src",)  # elements that put the camera's own count of frames into the buffer's offset


def v4l2_pipeline(device: str) -> str:
    """The pipeline of a V4L2 device that gives `Y16 ` or `GREY`, by mmap."""
    return f"v4l2src device={shlex.quote(device)} io-mode=mmap ! video/x-raw,format=(string){{GRAY16_LE,GRAY8}}"


class GStreamer:
    """A pipeline without its sink: `irdim` is put at its end, unless the text names an appsink itself."""

    def __init__(self, pipeline: str) -> None:
        """Raises InputError where GStreamer is absent, or does not understand the pipeline."""
        self.name, self._text = "gstreamer", pipeline if "appsink" in pipeline else f"{pipeline} ! {SINK}"
        self._gst = load_typelib("Gst", "1.0", PACKAGES)
        self._gst.init(None)
        self._pipeline: Any = None
        self._make()

    def start(self) -> None:
        gst = self._gst
        if self._pipeline is None:
            self._make()
        state = gst.State.PLAYING
        if self._pipeline.set_state(state) == gst.StateChangeReturn.FAILURE:
            raise CameraLost(self._reason() or "the pipeline does not start")
        answer, *_ = self._pipeline.get_state(int(START * gst.SECOND))
        if answer == gst.StateChangeReturn.FAILURE:
            raise CameraLost(self._reason() or "the pipeline does not start")
        if answer == gst.StateChangeReturn.ASYNC:
            raise CameraLost(self._reason() or f"the pipeline gives nothing within {START:g} s")

    def grab(self, seconds: float) -> Grabbed | None:
        sample = self._sink.emit("try-pull-sample", int(seconds * self._gst.SECOND))
        if sample is not None:
            return self._grabbed(sample)
        if reason := self._reason():
            raise CameraLost(reason)
        if self._sink.get_property("eos"):
            raise CameraLost("the pipeline ended")
        return None

    def stop(self) -> None:
        if self._pipeline is not None:
            self._pipeline.set_state(self._gst.State.NULL)
            self._pipeline = None  # some elements do not start twice

    def _make(self) -> None:
        gst = self._gst
        try:
            self._pipeline = gst.parse_launch(self._text)
        except Exception as error:  # GLib.GError, whose class comes with the library
            raise InputError(f"camera.stream: GStreamer does not take '{self._text}' ({error})") from None
        sinks = [e for e in _all(self._pipeline.iterate_sinks()) if e.get_factory().get_name() == "appsink"]
        if len(sinks) != 1:
            raise InputError(f"camera.stream: '{self._text}' has {len(sinks)} appsinks at its end; one is needed")
        self._sink = sinks[0]
        sources = {e.get_factory().get_name() for e in _all(self._pipeline.iterate_sources())}
        self._counted = bool(sources & set(COUNTED))

    def _grabbed(self, sample: Any) -> Grabbed:
        caps, buffer = sample.get_caps().get_structure(0), sample.get_buffer()
        width, height = caps.get_value("width"), caps.get_value("height")
        dtype = DTYPES.get(caps.get_value("format"))
        if dtype is None:
            raise CameraLost(f"the pipeline gives {caps.get_value('format')}; let it end in GRAY16_LE or GRAY8")
        mapped, info = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            raise CameraLost("a frame's memory cannot be read")
        try:
            pixels = _rows(info.data, int(height), int(width), dtype)
        finally:
            buffer.unmap(info)
        now, clock = time.monotonic(), self._pipeline.get_clock()
        if buffer.pts == self._gst.CLOCK_TIME_NONE:
            return Grabbed(pixels, now, now)
        age = 0.0 if clock is None else (clock.get_time() - self._pipeline.get_base_time() - buffer.pts) / 1e9
        number = int(buffer.offset) if self._counted and buffer.offset != self._gst.BUFFER_OFFSET_NONE else None
        return Grabbed(pixels, buffer.pts / 1e9, now - max(age, 0.0), number)

    def _reason(self) -> str:
        """The error that the pipeline reported, if any."""
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is None:
            return ""
        error, _ = message.parse_error()
        return f"{message.src.get_name().rstrip('0123456789')}: {error.message.rstrip('.')}"


def _rows(data: bytes, height: int, width: int, dtype: np.dtype) -> np.ndarray:
    """(H, W) out of a buffer whose rows may be padded, in memory of its own."""
    row = width * dtype.itemsize
    stride = len(data) // height if len(data) % height == 0 else 4 * math.ceil(row / 4)
    if stride < row or len(data) < stride * (height - 1) + row:
        raise CameraLost(f"a frame of {len(data)} bytes is too short for {width}x{height}")
    padded = np.frombuffer(data, np.uint8, min(len(data), stride * height))
    if len(padded) < stride * height:  # the last row may lack its padding
        padded = np.pad(padded, (0, stride * height - len(padded)))
    return np.ascontiguousarray(padded.reshape(height, stride)[:, :row]).view(dtype).astype(dtype.newbyteorder("="))


def _all(iterator: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        _, value = iterator.next()
        if value is None:
            return found
        found.append(value)
