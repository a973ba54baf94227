"""Detectors that need no training: top-hat, local contrast, temporal median. They answer in sigmas, so that one threshold serves every camera.

Every response is divided by the larger of two scales: the sigma that the temporal noise of the frame (irdim.noise) has behind the smoothing, and the
spread of what was smoothed in a ring around the place, so that a tree line does not outshine the sky above it.

    top-hat    what an opening (a closing, for cold targets) with a square larger than the target takes away (Serra 1982), less its mean around
    contrast   how far the smoothed middle is above the highest of eight places around it: an edge or a line has one as high, a target has none (the
               difference form of Chen et al., IEEE TGRS 2014)
    temporal   the smoothed difference to the median of frames before and after, laid over this one: what was not there then

They are fused by their mean, each cut at CAP, and the best of SCALES counts. In a mean they must agree: an edge has no contrast, and the ghost
that a target leaves in the median has no top-hat. What stands still has no temporal response, and is found where the other two are clear.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from irdim.boxes import Detection
from irdim.differencing import align
from irdim.noise import noise_sigma

SCALES = (0.7, 1.4, 2.8)  # px; sigma of the smoothing: from one pixel to 9 x 9
CAP = 10.0  # sigmas; more from one detector says hardly more
LEAK = 0.01  # share of what is above CAP that counts, so that a bright target has one peak and no plateau of them
REFERENCES = 5  # frames under the temporal median
SPACING = 6  # frames between them: at 0.3 px a frame a target of 3 px has left its place after two
APART = 3  # px; of two candidates nearer than this the stronger stays
BORDER = 3  # px; what is cut by the border, or comes in over it, looks like a target there
MOST = 200  # candidates a frame, the strongest
DETECTORS = ("top-hat", "local contrast", "temporal median")
SIGNS = {"hot": (1,), "cold": (-1,), "both": (1, -1)}


@dataclass(frozen=True)
class Candidate:
    """x, y: centre, px; sigmas: fused; top_hat, contrast, temporal: of each, not cut, at the scale that answered most; temporal is NaN where there
    is no median; scale: px; sign: 1 hot, -1 cold."""

    x: float
    y: float
    sigmas: float
    top_hat: float
    contrast: float
    temporal: float
    scale: float
    sign: int

    def as_detection(self) -> Detection:
        side = max(4 * self.scale, 3.0)
        return Detection(self.x, self.y, side, side, score_of(self.sigmas))


def score_of(sigmas: float) -> float:
    """0..1 for the tracker; 0.5 at 5 sigma."""
    return sigmas / (sigmas + 5.0)


def candidates(
    frame: np.ndarray,
    median: np.ndarray | None,
    noise: float,
    threshold: float,
    polarity: str = "both",
    detectors: Sequence[str] = DETECTORS,
) -> list[Candidate]:
    """Places that stand out of a frame by at least `threshold` sigma, strongest first. detectors: those that decide, of DETECTORS.

    frame: (H, W), any real dtype, counts; median: what `temporal_median` gives, or None where there is none: the other two then decide alone; noise: of
    the frame, counts, as `temporal_noise` gives it; polarity: one of SIGNS.
    """
    image = frame.astype(np.float32)
    responses = [_Responses.of(image, median, noise, scale) for scale in SCALES]
    found: list[Candidate] = []
    for sign in SIGNS[polarity]:
        fused = [r.fused(sign, detectors) for r in responses]
        best = np.maximum.reduce(fused)
        for row, column in _peaks(best, threshold):
            answering = int(np.argmax([f[row, column] for f in fused]))
            x, y = column + 0.5 + _vertex(best[row], column), row + 0.5 + _vertex(best[:, column], row)
            each = responses[answering].at(row, column, sign)
            found.append(Candidate(x, y, float(best[row, column]), *each, SCALES[answering], sign))
    return sorted(found, key=lambda c: -c.sigmas)[:MOST]


def reference_frames(index: int, first: int, last: int) -> list[int]:
    """The frames under the temporal median of frame `index`, of those from `first` to `last`: the nearest before and after it, SPACING apart, or
    as far as so few frames allow. Empty where they are too few."""
    spacing = min(SPACING, (last - first) // REFERENCES)
    if spacing < 1:
        return []
    around = (index + side * k * spacing for k in range(1, REFERENCES + 1) for side in (-1, 1))
    found = [f for f in around if first <= f <= last][:REFERENCES]
    return found if len(found) == REFERENCES else []


def temporal_median(frame: np.ndarray, references: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(H, W) float32. frame: (H, W); references: (REFERENCES, H, W); shifts: (REFERENCES, 2), content motion (dy, dx) px from each to the frame.
    What lies outside of a reference shows the frame itself."""
    a, b, c, d, e = align(np.concatenate([frame[None], references]), shifts)[1:]
    low, high = np.maximum(np.minimum(a, b), np.minimum(c, d)), np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), e))


def temporal_noise(frame: np.ndarray, other: np.ndarray, shift: np.ndarray) -> float:
    """Sigma of the noise in a frame, counts, from its difference to another one, whose content moved by `shift` (dy, dx) px to get here."""
    newest, moved = align(np.stack([frame, other]), shift[None])
    return noise_sigma(newest - moved, roundings=2) / float(np.sqrt(2))


@dataclass(frozen=True)
class _Responses:
    """Of one scale, (H, W) float32, sigmas: hat and contrast by sign, temporal signed."""

    hat: dict[int, np.ndarray]
    contrast: dict[int, np.ndarray]
    temporal: np.ndarray | None

    @classmethod
    def of(cls, image: np.ndarray, median: np.ndarray | None, noise: float, scale: float) -> "_Responses":
        reach = round(3 * scale) + 1  # px; where a target of this scale has ended
        smooth = _smoothed(image, scale)
        floor = np.float32(noise / (2 * np.sqrt(np.pi) * scale)) if scale >= 1 else np.float32(noise * _gain(scale))
        _, spread = _around(smooth, reach)
        spread = np.maximum(spread, floor)
        square = np.ones((2 * reach + 1,) * 2, np.uint8)
        lowest, highest = _extremes_around(smooth, reach)
        hats = {
            1: smooth - cv2.morphologyEx(smooth, cv2.MORPH_OPEN, square),
            -1: cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, square) - smooth,
        }
        for sign, hat in hats.items():
            mean, scatter = _around(hat, reach)  # noise alone has a top-hat, too: its mean is taken off
            hats[sign] = (hat - mean) / np.maximum(scatter, floor)
        contrast = {1: (smooth - highest) / spread, -1: (lowest - smooth) / spread}
        return cls(hats, contrast, None if median is None else _temporal(image, median, scale, reach, floor))

    def fused(self, sign: int, detectors: Sequence[str]) -> np.ndarray:
        given = {"top-hat": self.hat[sign], "local contrast": self.contrast[sign]}
        if self.temporal is not None:
            given["temporal median"] = sign * self.temporal
        answers = [answer for name, answer in given.items() if name in detectors]
        return sum(_capped(a) for a in answers) / np.float32(len(answers))

    def at(self, row: int, column: int, sign: int) -> tuple[float, float, float]:
        temporal = float("nan") if self.temporal is None else sign * float(self.temporal[row, column])
        return float(self.hat[sign][row, column]), float(self.contrast[sign][row, column]), temporal


def _capped(sigmas: np.ndarray) -> np.ndarray:
    cut = np.clip(sigmas, -CAP, CAP)
    return cut + np.float32(LEAK) * (sigmas - cut)


def _temporal(image: np.ndarray, median: np.ndarray, scale: float, reach: int, floor: np.float32) -> np.ndarray:
    change = image - median
    moved = _smoothed(change - np.median(change[::2, ::2]), scale)  # the camera's gain may have stepped
    return moved / np.maximum(_around(moved, reach)[1], floor)


def _smoothed(image: np.ndarray, scale: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), scale, borderType=cv2.BORDER_REFLECT)


def _gain(scale: float) -> float:
    """What the smoothing leaves of the sigma of white noise, for kernels too narrow for the formula of the continuous one."""
    kernel = cv2.getGaussianKernel(2 * round(4 * scale) + 1, scale)
    return float((kernel**2).sum())


def _extremes_around(smooth: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest of eight places `reach` px away."""
    padded = cv2.copyMakeBorder(smooth, reach, reach, reach, reach, cv2.BORDER_REFLECT)
    height, width = smooth.shape
    slanted = round(reach / 2**0.5)
    ring = [(0, reach), (0, -reach), (reach, 0), (-reach, 0)]
    ring += [(dy, dx) for dy in (-slanted, slanted) for dx in (-slanted, slanted)]
    views = [padded[reach + dy :][:height, reach + dx :][:, :width] for dy, dx in ring]
    lowest, highest = views[0].copy(), views[0].copy()
    for view in views[1:]:
        np.minimum(lowest, view, out=lowest)
        np.maximum(highest, view, out=highest)
    return lowest, highest


def _around(response: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation in a square ring around each place, its middle left out."""
    inner, outer = (2 * reach + 1,) * 2, (6 * reach + 1,) * 2
    share = np.float32((inner[0] / outer[0]) ** 2)
    level = np.float32(response.mean())  # squares of counts would lose digits in float32
    values = response - level
    mean, square = (
        (cv2.blur(v, outer, borderType=cv2.BORDER_REFLECT) - share * cv2.blur(v, inner, borderType=cv2.BORDER_REFLECT))
        / (1 - share)
        for v in (values, values * values)
    )
    return mean + level, np.sqrt(np.maximum(square - mean * mean, 0))


def _peaks(response: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    """(row, column) of local maxima, strongest first."""
    highest = cv2.dilate(response, np.ones((2 * APART + 1,) * 2, np.uint8))
    peaks = (response >= highest) & (response >= threshold)
    peaks[:BORDER] = peaks[-BORDER:] = peaks[:, :BORDER] = peaks[:, -BORDER:] = False
    rows, columns = np.nonzero(peaks)
    order = np.argsort(-response[rows, columns], kind="stable")[:MOST]
    return list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))


def _vertex(line: np.ndarray, middle: int) -> float:
    """Where the parabola through a maximum and its neighbours has its top, -0.5..0.5 px from it."""
    if not 0 < middle < len(line) - 1:
        return 0.0
    before, here, after = (float(line[middle + k]) for k in (-1, 0, 1))
    bend = before - 2 * here + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
