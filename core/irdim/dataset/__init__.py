"""The data set: a folder with lossless frames and SQLite: sequences, boxes with their history, the queue."""

from irdim.dataset.dataset import Dataset
from irdim.dataset.records import DECISIONS, KINDS, SPLITS, LabelledBox, QueueItem, Sequence

__all__ = ["DECISIONS", "KINDS", "SPLITS", "Dataset", "LabelledBox", "QueueItem", "Sequence"]
