"""Cameras: what the daemon takes frames from, recorded or live."""

from irdim_edge.cameras.camera import Began, Camera, Shot, Stopped, check_interval
from irdim_edge.cameras.live import Live
from irdim_edge.cameras.opening import open_camera
from irdim_edge.cameras.replay import Replay, open_replay

__all__ = ["Began", "Camera", "Live", "Replay", "Shot", "Stopped", "check_interval", "open_camera", "open_replay"]
