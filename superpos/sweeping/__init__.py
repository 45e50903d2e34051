"""Thousands of models at once."""

from superpos.sweeping.api import sweep as sweep
from superpos.sweeping.axes import decay as decay
from superpos.sweeping.axes import entry as entry
from superpos.sweeping.axes import exponential_law as exponential_law
from superpos.sweeping.axes import power_law as power_law
from superpos.sweeping.axes import vectors as vectors
from superpos.sweeping.grid import Grid as Grid
from superpos.sweeping.polished import polish_best as polish_best
from superpos.sweeping.result import SweepResult as SweepResult
from superpos.sweeping.result import open_result as open_result
from superpos.sweeping.sae_grids import sparsity_grid as sparsity_grid
from superpos.sweeping.table_cache import cached as cached
