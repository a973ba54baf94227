"""The paper's comparisons (Table 2, Fig. 12) on one's own data: backbones, patch sizes and inputs under one budget."""

from irdim_train.comparing.cells import Budget, Cell, run_cell
from irdim_train.comparing.grid import compare, make_grid
from irdim_train.comparing.summary import summarise

__all__ = ["Budget", "Cell", "compare", "make_grid", "run_cell", "summarise"]
