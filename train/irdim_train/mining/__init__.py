"""What a network probably missed or wrongly reported in recordings, by the consistency of tracks; and tracks that label new recordings."""

from irdim_train.mining.run import Mined, MineOptions, mine

__all__ = ["MineOptions", "Mined", "mine"]
