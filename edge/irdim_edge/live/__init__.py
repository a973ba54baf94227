"""The live page of a running daemon: its picture with what was found, the difference, and its counters."""

from irdim_edge.live.view import MOST_VIEWERS, LiveView

__all__ = ["MOST_VIEWERS", "LiveView"]
