"""GigE Vision and USB3 Vision cameras through aravis, Mono8 to Mono16."""

import time
from typing import Any

import numpy as np

from irdim_edge.cameras.drivers.driver import CameraLost, Grabbed
from irdim_edge.cameras.drivers.typelib import load_typelib

FORMATS = {"Mono16": 16, "Mono14": 14, "Mono12": 12, "Mono10": 10, "Mono8": 8}  # best first; unpacked, little-endian
BUFFERS = 16
FAKE = "Fake"  # prefix of aravis' own pretended cameras, for trying it


class Aravis:
    """A camera by its id, address or serial number; empty for the first that answers."""

    def __init__(self, camera: str = "") -> None:
        """Raises InputError where aravis is absent."""
        self.name, self._id = "aravis", camera or None
        self._aravis = load_typelib("Aravis", "0.8", "gir1.2-aravis-0.8")
        if camera.startswith(FAKE):
            self._aravis.enable_interface(FAKE)
        self._camera: Any = None

    def start(self) -> None:
        aravis = self._aravis
        try:
            aravis.update_device_list()  # a camera that came back may have another address
            self._camera = aravis.Camera.new(self._id)
            self._dtype = self._choose_format()
            self._stream = self._camera.create_stream(None, None)
            if self._stream is None:
                raise CameraLost("no stream can be opened")
            for _ in range(BUFFERS):
                self._stream.push_buffer(aravis.Buffer.new_allocate(self._camera.get_payload()))
            self._camera.start_acquisition()
        except CameraLost:
            raise
        except Exception as error:  # GLib.GError, whose class comes with the library
            raise CameraLost(f"{self._id or 'the first camera'}: {error}") from None

    def grab(self, seconds: float) -> Grabbed | None:
        buffer = self._stream.timeout_pop_buffer(int(seconds * 1e6))
        if buffer is None:
            return None
        try:
            if buffer.get_status() != self._aravis.BufferStatus.SUCCESS:
                return None  # packets were lost; the frame's number says so
            height, width = buffer.get_image_height(), buffer.get_image_width()
            data = buffer.get_image_data() if hasattr(buffer, "get_image_data") else buffer.get_data()
            pixels = np.frombuffer(data, self._dtype, height * width).reshape(height, width).copy()
            age = max(time.time() - buffer.get_system_timestamp() / 1e9, 0.0)
            taken = (buffer.get_timestamp() or buffer.get_system_timestamp()) / 1e9
            return Grabbed(pixels, taken, time.monotonic() - age, buffer.get_frame_id())
        finally:
            self._stream.push_buffer(buffer)

    def stop(self) -> None:
        camera, self._camera, self._stream = self._camera, None, None
        if camera is not None:
            try:
                camera.stop_acquisition()
            except Exception as error:  # it has gone already
                raise CameraLost(str(error)) from None

    def _choose_format(self) -> np.dtype:
        """The deepest grey format that the camera has, unless it is set to a grey one already."""
        there = self._camera.dup_available_pixel_formats_as_strings()
        now = self._camera.get_pixel_format_as_string()
        wanted = now if now in FORMATS and now != "Mono8" else next((f for f in FORMATS if f in there), None)
        if wanted is None:
            raise CameraLost(f"gives {', '.join(there)}, none of {', '.join(FORMATS)}")
        if wanted != now:
            self._camera.set_pixel_format_from_string(wanted)
        return np.dtype(np.uint8 if FORMATS[wanted] == 8 else "<u2")
