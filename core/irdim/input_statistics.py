"""What the input of a detector looks like, in three numbers a frame, on the device and in the training data alike, so that a drift shows."""

import numpy as np

from irdim.differencing import STACK, InputSpec, noise_scale, planes
from irdim.history import History
from irdim.sources import Frame

SIGMA_DIFFERENCE, SIGMA_FRAME, LEVEL = "sigma_difference", "sigma_frame", "level"
_SIGMAS = np.geomspace(0.5, 2048, 49)  # counts; the noise scale is 0.5 at least
_LEVELS = np.concatenate([[0.0], np.geomspace(1, 65536, 65)])  # counts
EDGES = {
    SIGMA_DIFFERENCE: _SIGMAS,
    SIGMA_FRAME: _SIGMAS,
    LEVEL: _LEVELS,
}  # of histograms; what lies outside counts in the last bin


def input_statistics(frames: list[Frame], spec: InputSpec) -> dict[str, float]:
    """Noise scale of the first difference and of the newest frame, and that one's median, all in counts.

    frames: oldest first, reaching back over the input's history. Empty where they do not.
    """
    history = History(InputSpec("sequence", 1, spec.register))
    picked = frames[:: -spec.frame_step][:STACK]
    if len(picked) < STACK:
        return {}
    for frame in reversed(picked[1:]):
        history.add(frame)
    stack = history.push(picked[0])
    if isinstance(stack, str):  # one of another size
        return {}
    found = {LEVEL: float(np.median(stack.frames[0]))}
    for name, kind in ((SIGMA_DIFFERENCE, "difference"), (SIGMA_FRAME, "sequence")):
        one = InputSpec(kind, 1, spec.register)
        found[name] = float(noise_scale(planes(stack.frames, one, stack.shifts), one)[0])
    return found


def bin_of(name: str, value: float) -> int:
    """The bin of a value in the histogram of that name."""
    edges = EDGES[name]
    return int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(edges) - 2))
