"""irdim-train import: where sequences lie, what their labels say, which split they go to, and bringing them in."""

from irdim_train.importing.found import Found, Options
from irdim_train.importing.layouts import FORMATS, find_sequences
from irdim_train.importing.plan import Import, plan_import
from irdim_train.importing.run import Result, import_sequences

__all__ = ["FORMATS", "Found", "Import", "Options", "Result", "find_sequences", "import_sequences", "plan_import"]
