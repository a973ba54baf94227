"""Wrong labels: where the network disagrees with them, in loss, of which of the paper's four kinds, and what it would say instead."""

from irdim_train.refining.disagreement import Doubt
from irdim_train.refining.queueing import enqueue_doubts
from irdim_train.refining.run import Refined, RefineOptions, refine

__all__ = ["Doubt", "RefineOptions", "Refined", "enqueue_doubts", "refine"]
