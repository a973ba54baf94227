"""The data set: a folder with lossless frames and SQLite: sequences, boxes with their history, the queue."""

from irdim.dataset.dataset import Dataset
from irdim.dataset.frames import digest_of
from irdim.dataset.records import DECISIONS, KINDS, SPLITS, LabelledBox, QueueItem, Sequence

__all__ = ["DECISIONS", "KINDS", "SPLITS", "Dataset", "LabelledBox", "QueueItem", "Sequence", "digest_of"]
