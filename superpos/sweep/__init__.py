"""Thousands of models at once."""

from superpos.sweep.api import sweep as sweep
from superpos.sweep.grid import Grid as Grid
from superpos.sweep.grid import decay as decay
from superpos.sweep.grid import entry as entry
from superpos.sweep.grid import vectors as vectors
from superpos.sweep.polished import polish_best as polish_best
from superpos.sweep.result import SweepResult as SweepResult
from superpos.sweep.result import open_result as open_result
from superpos.sweep.sae_grids import sparsity_grid as sparsity_grid
from superpos.sweep.table_cache import cached as cached
