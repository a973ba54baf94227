"""python -m irdim_train: the same as irdim-train."""

from irdim_train.cli import main

main()
