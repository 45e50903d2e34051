"""A result gathered in memory, block by block."""

import xarray as xr

from superpos.sweeping import variables
from superpos.sweeping.attributes import attributes, coordinates
from superpos.sweeping.flat import unflatten
from superpos.sweeping.grid import Grid
from superpos.sweeping.layout import Layout
from superpos.sweeping.plan import Block
from superpos.sweeping.result import SweepResult
from superpos.sweeping.variables import BlockResult
from superpos.tasks.base import Task
from superpos.training.loop import TrainConfig


class Collector:
    """Arrays over all cells of a grid in memory, filled block by block. What no block has written is NaN."""

    def __init__(self, task: Task, config: TrainConfig, grid: Grid, layout: Layout):
        self._layout, self._grid, self._config = layout, grid, config
        self._fields = variables.fields(layout.families)
        self._arrays = {name: variables.empty(field, grid.n_cells) for name, field in self._fields.items()}
        self._attributes = attributes(task, config, grid, layout, stored=False)

    def add(self, family: int, number: int, block: Block, result: BlockResult) -> None:
        """Write one block's models, losses and record into the cells they belong to."""
        cells = self._layout.families[family].cells[block.members[: block.n_real]]
        for name, values in variables.values(result).items():
            variables.write_corner(self._arrays[name], cells, values)

    def result(self) -> SweepResult:
        """The labelled result."""
        data = {name: (("cell", *f.dims), self._arrays[name]) for name, f in self._fields.items()}
        coords = coordinates(self._config, self._grid, self._layout)
        return SweepResult(unflatten(xr.Dataset(data, coords, self._attributes), self._grid.sizes))
