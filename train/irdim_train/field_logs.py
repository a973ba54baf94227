"""Which sequences of a data set are field logs."""

from irdim.dataset import Sequence
from irdim.fieldlog import SUFFIX


def is_field_log(sequence: Sequence) -> bool:
    """Whether ingest has added it. A recording may be called so as well: its source is no log."""
    return sequence.name.startswith("log-") and sequence.source.endswith(SUFFIX)
