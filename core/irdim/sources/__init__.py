"""Sequences of frames, whatever they are stored as: `open_source(path)` gives a `FrameSource` to iterate over."""

from irdim.sources.frame import Frame, FrameSource
from irdim.sources.opening import is_sequence, open_source, sequence_name

__all__ = ["Frame", "FrameSource", "is_sequence", "open_source", "sequence_name"]
