"""The data set: a folder with lossless frames and SQLite: sequences, boxes with their history, the queue."""

from irdim.dataset.dataset import Dataset
from irdim.dataset.frames import digest_of
from irdim.dataset.records import DECISIONS, SPLITS, Device, LabelledBox, LogRecord, QueueItem, Refused, Sequence
from irdim.dataset.store import NotWritable

__all__ = [
    "DECISIONS",
    "SPLITS",
    "Dataset",
    "Device",
    "LabelledBox",
    "LogRecord",
    "NotWritable",
    "QueueItem",
    "Refused",
    "Sequence",
    "digest_of",
]
