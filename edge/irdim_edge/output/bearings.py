"""Where in the world a pixel looks: azimuth and elevation from the camera's optics, by the pinhole model."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Optics:
    """field_of_view: degrees across and down the whole frame; azimuth, elevation: of its centre, degrees from north clockwise and above the horizon;
    roll: degrees by which the camera is turned clockwise about its axis."""

    field_of_view: tuple[float, float]
    azimuth: float
    elevation: float
    roll: float

    def bearing(self, x: float, y: float, shape: tuple[int, int]) -> tuple[float, float]:
        """Azimuth (0 to 360) and elevation in degrees of a place (x, y) in px on a frame of `shape` (H, W).

        The ray through the pixel, right = (2x/W - 1) tan(fov_x / 2), down = (2y/H - 1) tan(fov_y / 2), forward = 1, is turned by roll, then raised by the
        elevation, then turned to the azimuth.
        """
        height, width = shape
        right = (2 * x / width - 1) * math.tan(math.radians(self.field_of_view[0]) / 2)
        up = (1 - 2 * y / height) * math.tan(math.radians(self.field_of_view[1]) / 2)
        roll, raised = math.radians(self.roll), math.radians(self.elevation)
        right, up = right * math.cos(roll) + up * math.sin(roll), up * math.cos(roll) - right * math.sin(roll)
        ahead, up = math.cos(raised) - up * math.sin(raised), math.sin(raised) + up * math.cos(raised)
        azimuth = self.azimuth + math.degrees(math.atan2(right, ahead))
        return azimuth % 360, math.degrees(math.atan2(up, math.hypot(right, ahead)))
