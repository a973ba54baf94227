"""Field logs: one suspect, its lossless frames and all that is known about it, in one signed file; tallies: what a device counted meanwhile.

Both are `.irlog` files, zips of JSON and .npy that any zip tool and NumPy read: docs/formats.md.
"""

from irdim.fieldlog.container import MOST_FILE, NAME, SUFFIX, digest_in, kind_in
from irdim.fieldlog.files import (
    pack_log,
    pack_tally,
    read_any,
    read_description,
    read_log,
    read_tally,
    write_log,
    write_tally,
)
from irdim.fieldlog.records import KINDS, LOW_CONFIDENCE, SAMPLE, TALLY, FieldLog, Suspect, Tally, TallyLog

__all__ = [
    "KINDS",
    "LOW_CONFIDENCE",
    "MOST_FILE",
    "NAME",
    "SAMPLE",
    "SUFFIX",
    "TALLY",
    "FieldLog",
    "Suspect",
    "Tally",
    "TallyLog",
    "digest_in",
    "kind_in",
    "pack_log",
    "pack_tally",
    "read_any",
    "read_description",
    "read_log",
    "read_tally",
    "write_log",
    "write_tally",
]
