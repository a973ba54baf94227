"""The camera that a configuration names."""

from typing import TYPE_CHECKING

from irdim_edge.cameras.camera import Camera, check_interval
from irdim_edge.cameras.drivers import open_driver
from irdim_edge.cameras.live import Live
from irdim_edge.cameras.replay import open_replay

if TYPE_CHECKING:
    from irdim_edge.config.sections import CameraSection


def open_camera(camera: "CameraSection", nominal: float | None) -> Camera:
    """nominal: seconds between frames that the bundle was trained with. Raises InputError where there is no such camera, or it does not suit the bundle."""
    interval = camera.interval or None
    if not camera.stream:
        return open_replay(camera.paths, rate=camera.rate, interval=interval, nominal=nominal, step=camera.step)
    check_interval(f"camera {camera.name}", interval, nominal, camera.step)
    return Live(
        camera.name,
        open_driver(camera.stream),
        interval=interval,
        nominal=nominal,
        step=camera.step,
        timeout=camera.timeout,
        stuck=camera.stuck,
        conditions=camera.conditions,
    )
