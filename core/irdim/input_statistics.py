"""What the input of a detector looks like, in three numbers a frame, on the device and in the training data alike, so that a drift shows."""

import numpy as np

from irdim.differencing import NO_SHIFT, STACK, InputSpec, align, noise_scale
from irdim.history import History
from irdim.registration import estimate_shift, texture
from irdim.sources import Frame

SIGMA_DIFFERENCE, SIGMA_FRAME, LEVEL = "sigma_difference", "sigma_frame", "level"
_SIGMAS = np.geomspace(0.5, 2048, 49)  # counts; the noise scale is 0.5 at least
_LEVELS = np.concatenate([[0.0], np.geomspace(1, 65536, 65)])  # counts
EDGES = {
    SIGMA_DIFFERENCE: _SIGMAS,
    SIGMA_FRAME: _SIGMAS,
    LEVEL: _LEVELS,
}  # of histograms; what lies outside counts in the first or the last bin


def input_statistics(frames: list[Frame], spec: InputSpec) -> dict[str, float]:
    """Noise scale of the first difference and of the newest frame, and that one's median, all in counts.

    frames: oldest first, reaching back over the input's history. Empty where they do not.
    """
    history = History(InputSpec("single"))
    picked = frames[:: -spec.frame_step][:STACK]
    if len(picked) < STACK:
        return {}
    for frame in reversed(picked):
        void = history.add(frame)
    if void:  # one of another size
        return {}
    newest, before = picked[0].pixels, picked[1].pixels
    shift = estimate_shift(texture(before), texture(newest)) if spec.register else NO_SHIFT[0]
    frame_counts, older = align((newest, before), np.array([shift], np.float32))
    return {
        LEVEL: float(np.median(newest)),
        SIGMA_DIFFERENCE: _sigma(frame_counts - older, "difference"),
        SIGMA_FRAME: _sigma(frame_counts, "single"),
    }


def _sigma(plane: np.ndarray, kind: str) -> float:
    """Noise scale of the first channel, (H, W), of an input of that kind."""
    return float(noise_scale(plane[None], InputSpec(kind))[0])


def bin_of(name: str, value: float) -> int:
    """The bin of a value in the histogram of that name."""
    edges = EDGES[name]
    return int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(edges) - 2))
