"""The paper's loop (Fig. 8): fit, evaluate, refine, mine, decide, and again with what was added."""

from irdim_train.iterating.loop import Waiting, iterate
from irdim_train.iterating.state import LoopConfig, LoopState, Turn, open_loop

__all__ = ["LoopConfig", "LoopState", "Turn", "Waiting", "iterate", "open_loop"]
