"""Drivers: what reaches a live camera, by its address. Their libraries are imported when they are used."""

from irdim.errors import InputError
from irdim_edge.cameras.drivers.driver import CameraLost, Driver, Grabbed
from irdim_edge.cameras.drivers.gige import Aravis
from irdim_edge.cameras.drivers.gstreamer import GStreamer, v4l2_pipeline
from irdim_edge.cameras.drivers.video import Video

ADDRESSES = "gst:PIPELINE, v4l2:/dev/videoN, aravis:ID or rtsp://..."

__all__ = ["ADDRESSES", "CameraLost", "Driver", "Grabbed", "open_driver"]


def open_driver(address: str) -> Driver:
    """The driver of an address such as `v4l2:/dev/video0`. Raises InputError where there is none, or its library is absent."""
    kind, _, rest = address.partition(":")
    rest = rest.strip()
    if kind == "gst" and rest:
        return GStreamer(rest)
    if kind == "v4l2" and rest:
        return GStreamer(v4l2_pipeline(rest))
    if kind == "aravis":
        return Aravis(rest)
    if kind in ("rtsp", "rtsps", "http", "https") and rest.startswith("//"):
        return Video(address)
    raise InputError(f"camera.stream '{address}': give {ADDRESSES}")
