"""How detections are scored against labels. Protocols by name, one way to ask all of them; formulas and reasons in docs/metrics.md.

Only `target` counts. A target detection on an `interference` label is a false alarm, counted apart as well; one inside an `ignore` box counts for nothing.
"""

import re

from irdim.errors import InputError
from irdim.metrics.bootstrap import (
    FEWEST,
    RESAMPLES,
    Difference,
    Interval,
    paired_difference,
    ratio_interval,
    score_intervals,
)
from irdim.metrics.mask_centroid import MaskCentroid
from irdim.metrics.metric import Metric, Sweep
from irdim.metrics.pairwise import DEFAULT_RADIUS, BoxOverlap, CentreDistance
from irdim.metrics.score import Score

DEFAULT_PROTOCOL = "centre-3px"
PROTOCOLS = (DEFAULT_PROTOCOL, "iou-50", "mask-centroid")

__all__ = [
    "DEFAULT_PROTOCOL",
    "DEFAULT_RADIUS",
    "FEWEST",
    "PROTOCOLS",
    "RESAMPLES",
    "BoxOverlap",
    "CentreDistance",
    "Difference",
    "Interval",
    "MaskCentroid",
    "Metric",
    "Score",
    "Sweep",
    "open_metric",
    "paired_difference",
    "ratio_interval",
    "score_intervals",
]


def open_metric(protocol: str) -> Metric:
    """An empty metric of a named protocol: centre-3px or any other radius, iou-50 or any other per cent, mask-centroid.

    Raises InputError for another name.
    """
    if protocol == "mask-centroid":
        return MaskCentroid()
    if (match := re.fullmatch(r"centre-(\d+(?:\.\d+)?)px", protocol)) and float(match[1]) > 0:
        return CentreDistance(float(match[1]))
    if (match := re.fullmatch(r"iou-(\d{1,3})", protocol)) and 0 < int(match[1]) <= 100:
        return BoxOverlap(int(match[1]) / 100)
    raise InputError(f"protocol '{protocol}': choose centre-Rpx (R px, e.g. centre-3px), iou-50 or mask-centroid")
