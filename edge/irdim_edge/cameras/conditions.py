"""What a sensor does to its own pictures: a closing shutter and a step of the gain, after which older frames cannot be compared with newer ones."""

from collections import deque

import cv2
import numpy as np

SHUTTER, GAIN = "shutter", "gain"
BLACK, SATURATED = "black", "saturated"
BLOCK = 8  # px of the frame to a px of the thumbnail
CLOSED = 0.3  # of the contrast a few frames ago: the scene is gone
OPEN = 0.5  # of the contrast before it closed: the scene is back
SUDDEN = 3  # frames within which a shutter closes
LONGEST = 250  # frames after which a closed shutter is taken for the scene
ALIKE = 0.9  # correlation of two thumbnails of one scene
STEP = 0.05  # by which the contrast of one scene changes from a frame to the next
SATURATED_SHARE = 0.5


class Conditions:
    """Looks at one frame after the other. picture: 'black' or 'saturated' where the newest is, else empty."""

    def __init__(self) -> None:
        self.picture = ""
        self._thumbnail: np.ndarray | None = None
        self._contrasts: deque[float] = deque(maxlen=SUDDEN)
        self._before = 0.0  # contrast before the shutter closed, 0 while it is open
        self._closed = 0

    def look(self, pixels: np.ndarray) -> str:
        """Take the newest frame, (H, W) uint8 or uint16. Returns why those before cannot be compared with it, else ''.

        A shutter: the scene's contrast falls to less than a third within three frames, and the picture no longer resembles the one before; until the
        contrast is back, and on the first frame on which it is. A step of the gain: the same scene (correlation over 0.9) with its contrast scaled by more
        than 5 % from one frame to the next. An offset alone does no harm: what the network reads is high-passed.
        """
        self.picture = _picture(pixels)
        height, width = pixels.shape
        size = (max(width // BLOCK, 2), max(height // BLOCK, 2))
        thumbnail = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        thumbnail -= thumbnail.mean()
        contrast = float(thumbnail.std())
        previous, self._thumbnail = self._thumbnail, thumbnail
        if previous is None or previous.shape != thumbnail.shape:
            self._contrasts.clear()
            self._contrasts.append(contrast)
            self._before = 0.0
            return ""
        if self._before:
            return self._while_closed(contrast)
        slope, alike = _fit(previous, thumbnail)
        if contrast < CLOSED * max(self._contrasts) and alike < ALIKE:
            self._before, self._closed = max(self._contrasts), 0
            return SHUTTER
        self._contrasts.append(contrast)
        return GAIN if alike > ALIKE and abs(slope - 1) > STEP else ""

    def _while_closed(self, contrast: float) -> str:
        self._closed += 1
        if contrast > OPEN * self._before or self._closed > LONGEST:
            self._before = 0.0
            self._contrasts.clear()
            self._contrasts.append(contrast)
        return SHUTTER


def _fit(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Slope of `other` over `one`, and their correlation; both have a mean of 0."""
    power, own = float((one * one).sum()), float((other * other).sum())
    if power <= 0 or own <= 0:
        return 1.0, 0.0
    both = float((one * other).sum())
    alike = both / (power * own) ** 0.5
    return (own / power) ** 0.5, alike


def _picture(pixels: np.ndarray) -> str:
    sample = pixels[::BLOCK, ::BLOCK]
    top = int(sample.max())
    if top == 0:
        return BLACK
    full = top == np.iinfo(pixels.dtype).max or (
        (top & (top + 1)) == 0 and top >= 1023
    )  # 10 to 16 bits, all of them set
    return SATURATED if full and float((sample == top).mean()) > SATURATED_SHARE else ""
