"""irdim-train export: a data set in the layouts of other tools, which irdim-train import reads back as it was."""

from irdim_train.exporting.run import FORMATS, export_data

__all__ = ["FORMATS", "export_data"]
