"""Classical detectors of small targets: top-hat, local contrast, temporal median. Each answers in noise sigmas, hot positive, cold negative.

Every response is divided by the larger of two scales: the sigma that the frame's temporal noise (irdim.noise) has behind the filter, and the
standard deviation of the response itself in a ring around the place (so a tree line does not outshine the sky above it).

    top-hat         what an opening (closing) takes away from the smoothed frame: bright (dark) and smaller than the structuring element
    local contrast  the smoothed middle less the brightest (darkest) of the eight places around it: an edge or a line has one as bright
                    (the difference form of LCM: Chen et al., IEEE TGRS 2014; Han et al., IEEE GRSL 2018)
    temporal        the smoothed difference to the median of registered frames before and after: what was not there then

They are fused by their mean, each cut at CAP sigmas, and the best of the scales counts. A mean asks that they agree: an edge has no local contrast,
the ghost that a target leaves in the median has no top-hat.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from irdim.boxes import Detection
from irdim.differencing import align
from irdim.noise import noise_sigma

SCALES = (0.7, 1.4, 2.8)  # px; sigma of the smoothing, from one pixel to 9 x 9
CAP = 10.0  # sigmas; more from one detector says no more
REFERENCES = 5  # frames under the temporal median
SPACING = 6  # frames between them: a target of 3 px at 0.3 px a frame has left its place after two
APART = 3  # px; of two candidates nearer than this the stronger stays
POLARITIES = {"hot": (1,), "cold": (-1,), "both": (1, -1)}
DETECTORS = ("top-hat", "local contrast", "temporal median")


@dataclass(frozen=True)
class Candidate:
    """x, y: centre, px; sigmas: fused response; by_detector: response of each of DETECTORS in sigmas, uncut, NaN where one could not look;
    sign: 1 hot, -1 cold; scale: px, the one that answered most."""

    x: float
    y: float
    sigmas: float
    by_detector: tuple[float, ...]
    sign: int
    scale: float

    def as_detection(self, threshold: float) -> Detection:
        """With the score that the tracker takes: sigmas / (sigmas + threshold), so 0.5 at the threshold."""
        size = max(4 * self.scale, 3.0)
        return Detection(self.x, self.y, size, size, self.sigmas / (self.sigmas + threshold))


def reference_frames(index: int, first: int, last: int) -> list[int]:
    """The frames under the temporal median of frame `index`, of those from `first` to `last`: the nearest multiples of SPACING before and
    after it. Where there are too few, the spacing shrinks; empty where it would be 0."""
    spacing = min(SPACING, (last - first) // REFERENCES)
    if spacing < 1:
        return []
    steps = (sign * k * spacing for k in range(1, REFERENCES + 1) for sign in (-1, 1))
    found = [index + step for step in steps if first <= index + step <= last]
    return found[:REFERENCES] if len(found) >= REFERENCES else []


def temporal_median(frame: np.ndarray, references: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """frame (H, W); references (REFERENCES, H, W) of the same sequence; shifts (REFERENCES, 2): content motion (dy, dx) px from each to the
    frame. Returns the median of the references laid over the frame, (H, W) float32; what lies outside them shows the frame itself."""
    a, b, c, d, e = align(np.concatenate([frame[None], references]), shifts)[1:]
    low, high = np.maximum(np.minimum(a, b), np.minimum(c, d)), np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), e))


def candidates(
    frame: np.ndarray,
    median: np.ndarray | None,
    sigma: float,
    *,
    least: float,
    most: int = 200,
    polarity: str = "both",
) -> list[Candidate]:
    """What stands out of a frame (H, W), strongest first. median: what `temporal_median` gives, or None where there is none (the other two
    then decide alone); sigma: temporal noise of a frame, counts; least: fused sigmas from which a place is a candidate; most: of them."""
    image = frame.astype(np.float32)
    change = None if median is None else image - median
    best = {sign: np.full(image.shape, -np.inf, np.float32) for sign in POLARITIES[polarity]}
    answers = {}
    for scale in SCALES:
        for sign in POLARITIES[polarity]:
            answers[scale, sign] = _answers(sign * image, None if change is None else sign * change, sigma, scale)
            fused = np.mean([np.clip(a, -CAP, CAP) for a in answers[scale, sign]], axis=0)
            np.maximum(best[sign], fused, out=best[sign])
    found = []
    for sign, surface in best.items():
        for y, x in _peaks(surface, least, most):
            scale = max(SCALES, key=lambda s: np.mean([np.clip(a[y, x], -CAP, CAP) for a in answers[s, sign]]))
            each = [float(a[y, x]) for a in answers[scale, sign]]
            dx, dy = _vertex(surface[y, max(x - 1, 0) : x + 2]), _vertex(surface[max(y - 1, 0) : y + 2, x])
            by_detector = tuple(each + [float("nan")] * (len(DETECTORS) - len(each)))
            found.append(Candidate(x + 0.5 + dx, y + 0.5 + dy, float(surface[y, x]), by_detector, sign, scale))
    return sorted(found, key=lambda c: -c.sigmas)[:most]


def frame_noise(frame: np.ndarray, other: np.ndarray, shift: tuple[float, float]) -> float:
    """Temporal noise of a frame, counts: from its difference to `other`, whose content moved by `shift` (dy, dx) px to get there."""
    stack = align(np.stack([frame, other]), np.array([shift]))
    return noise_sigma(stack[0] - stack[1], roundings=2) / np.sqrt(2)


def _answers(image: np.ndarray, change: np.ndarray | None, sigma: float, scale: float) -> list[np.ndarray]:
    """Of each detector, for hot targets, (H, W) sigmas."""
    reach = round(3 * scale) + 1
    smooth = cv2.GaussianBlur(image, (0, 0), scale)
    floor = sigma / (2 * np.sqrt(np.pi) * max(scale, 0.5))  # what white noise of `sigma` has left behind the smoothing
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    hat = smooth - cv2.morphologyEx(smooth, cv2.MORPH_OPEN, element)
    responses = [(hat, hat), (_contrast(smooth, reach), smooth)]
    if change is not None:
        moved = cv2.GaussianBlur(change - np.median(change[::2, ::2]), (0, 0), scale)
        responses.append((moved, moved))
    result = []
    for response, scaled_by in responses:
        mean, spread = _around(scaled_by, reach)
        middle = mean if response is hat else 0.0  # noise alone has a top-hat
        result.append((response - middle) / np.maximum(spread, floor))
    return result


def _contrast(smooth: np.ndarray, reach: int) -> np.ndarray:
    """The middle less the largest of eight places `reach` px away."""
    padded = cv2.copyMakeBorder(smooth, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    height, width = smooth.shape
    slanted = max(round(reach / np.sqrt(2)), 1)
    largest = np.full_like(smooth, -np.inf)
    for dy, dx in [(-reach, 0), (reach, 0), (0, -reach), (0, reach)] + [
        (a, b) for a in (-slanted, slanted) for b in (-slanted, slanted)
    ]:
        np.maximum(
            largest, padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width], out=largest
        )
    return smooth - largest


def _around(response: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation in a square ring around each place, which leaves out a target in its middle."""
    inner, outer = (2 * reach + 1,) * 2, (6 * reach + 1,) * 2
    share = (inner[0] / outer[0]) ** 2
    shifted = response - np.float32(response.mean())  # squares of counts lose digits in float32
    moments = []
    for values in (shifted, shifted * shifted):
        ring = (cv2.blur(values, outer) - share * cv2.blur(values, inner)) / (1 - share)
        moments.append(ring)
    mean, square = moments
    return mean + response.mean(), np.sqrt(np.maximum(square - mean * mean, 0.0))


def _peaks(surface: np.ndarray, least: float, most: int) -> list[tuple[int, int]]:
    """(row, column) of local maxima, strongest first."""
    highest = cv2.dilate(surface, np.ones((2 * APART + 1,) * 2, np.uint8))
    rows, columns = np.nonzero((surface >= highest) & (surface >= least))
    order = np.argsort(-surface[rows, columns], kind="stable")[:most]
    return list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))


def _vertex(three: np.ndarray) -> float:
    """Where the parabola through three values has its top, -0.5..0.5 from the middle one."""
    if len(three) < 3 or not np.isfinite(three).all():
        return 0.0
    a, b, c = map(float, three)
    bend = a - 2 * b + c
    return float(np.clip((a - c) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
