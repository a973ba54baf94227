"""irdim: what workstation and edge share. See README.md for the loop and docs/formats.md for the file formats.

Parts of SciPy are named in full (scipy.special.expit), so that they load when first used: commands that compute nothing start in two thirds of the time.
"""

__version__ = "0.1.0"
