"""irdim: what workstation and edge share. See README.md for the loop and docs/formats.md for the file formats."""

__version__ = "0.1.0"
