"""What a refinement found, in figures."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from irdim_train.refining.queueing import losses_after, reason
from irdim_train.refining.run import Refined


def histograms(refined: Refined) -> dict[str, np.ndarray]:
    """The losses of all labels, (n,) nats: as they are, and as they would be were everything accepted that is asked."""
    after = losses_after(refined.losses, (d for _, d in refined.ranked[: refined.chosen]))
    return {"as labelled": _values(refined.losses), "were all accepted": _values(after)}


def describe(refined: Refined) -> dict[str, Any]:
    """As `refine --json` prints it."""
    asked = refined.ranked[: refined.chosen]
    before, after = histograms(refined).values()
    return {
        "labels": len(refined.losses),
        "frames": refined.frames,
        "networks": refined.networks,
        "threshold": round(refined.threshold, 4),
        "usual_error": round(refined.usual, 3),
        "mean_loss": round(float(before.mean()), 4) if before.size else 0.0,
        "mean_loss_accepted": round(float(after.mean()), 4) if after.size else 0.0,
        "kinds": dict(Counter(d.kind for _, d in asked)),
        "doubts": [
            {
                "kind": d.kind,
                "sequence": s.name,
                "frame": d.frame,
                "box_id": d.box_id,
                "box": {k: round(getattr(d.box, k), 3) for k in ("x", "y", "w", "h")} | {"label": d.box.label},
                "loss": round(d.loss, 4),
                "excess": round(d.excess, 4),
                "confidence": round(d.found, 4),
                "reason": reason(d),
            }
            for s, d in asked
        ],
    }


def _values(losses: Mapping[int, float]) -> np.ndarray:
    return np.array(list(losses.values()), float)
