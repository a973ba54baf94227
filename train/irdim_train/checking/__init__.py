"""What is wrong with a data set, or with recordings that are to become one, and what its figures suggest."""

from irdim_train.checking.findings import Finding, Severity
from irdim_train.checking.run import Checked, check
from irdim_train.checking.subjects import Subject, subjects_of_data, subjects_of_recordings

__all__ = ["Checked", "Finding", "Severity", "Subject", "check", "subjects_of_data", "subjects_of_recordings"]
