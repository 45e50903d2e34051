"""What a sweep's result says about itself, and a result gathered in memory."""

import platform
from functools import cache
from typing import Any

import jax
import numpy as np
import xarray as xr

import superpos
from superpos.config import to_dict
from superpos.errors import ConfigError
from superpos.identity import code_of
from superpos.sweep import budget, layout, plan
from superpos.sweep.grid import Grid
from superpos.sweep.layout import Layout
from superpos.sweep.plan import Block
from superpos.sweep.result import SweepResult
from superpos.tasks.base import Task
from superpos.train import TrainConfig


class Collector:
    """Arrays over all cells of a grid in memory, filled block by block. What no block has written is NaN."""

    def __init__(self, task: Task, config: TrainConfig, grid: Grid, where: Layout):
        self._layout, self._grid, self._config = where, grid, config
        self._fields = layout.fields(where.families)
        self._arrays = {name: layout.empty(field, grid.n_cells) for name, field in self._fields.items()}
        self._attributes = attributes(task, config, grid, where, stored=False)

    def add(self, family: int, number: int, block: Block, outcome: dict[str, Any]) -> None:
        """Write one block's models, losses and record into the cells they belong to."""
        cells = self._layout.families[family].cells[block.members[: block.n_real]]
        for name, found in layout.values(outcome).items():
            layout.write_corner(self._arrays[name], cells, found)

    def result(self) -> SweepResult:
        """The labelled result."""
        variables = {name: (("cell", *f.dims), self._arrays[name]) for name, f in self._fields.items()}
        coords = coordinates(self._config, self._grid, self._layout)
        return SweepResult(layout.unflatten(xr.Dataset(variables, coords, self._attributes), self._grid.sizes))


def coordinates(config: TrainConfig, grid: Grid, where: Layout) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Axis values of every cell, and the steps of snapshots and records, each with its dimensions."""
    coords: dict[str, tuple[tuple[str, ...], np.ndarray]] = {n: (("cell",), c) for n, c in grid.columns().items()}
    if config.snapshots:
        coords["snapshot_step"] = (("snapshot",), np.asarray(config.snapshots, np.int64))
    boundaries = [family.config.boundaries() for family in where.families]
    if all(np.array_equal(steps, boundaries[0]) for steps in boundaries):
        coords["record_step"] = (("record",), boundaries[0])
    else:
        steps_of = np.full((grid.n_cells, max(len(steps) for steps in boundaries)), -1, np.int64)
        for family, steps in zip(where.families, boundaries, strict=True):
            steps_of[family.cells, : len(steps)] = steps
        coords["record_step"] = (("cell", "record"), steps_of)
    return coords | ({} if where.starts is None else where.starts.coordinates())


def attributes(task: Task, config: TrainConfig, grid: Grid, where: Layout, *, stored: bool = True) -> dict[str, Any]:
    """The whole configuration, as results and stores carry it; nothing that differs from run to run.

    Raises:
        ConfigError: the task's own code has no known identity, so what it trains cannot be `stored` and gone on with.
    """
    try:
        code: Any = code_of(task, config)
    except ConfigError as error:
        if stored:
            raise ConfigError(f"task cannot be swept to a store: {error}") from None
        code = {"unknown": str(error)}
    dtype = jax.tree.leaves(where.families[0].task)[0].dtype
    return {
        "superpos": superpos.__version__,
        "format": layout.FORMAT,
        "task": to_dict(task),
        **({"code": code} if code else {}),
        "train": to_dict(plan.stated(config, where.families)),
        "grid": grid.describe(),
        "block_size": sorted(set(where.block_sizes)),
        "precision": "highest",
        "dtype": str(np.dtype(dtype)),
        "platform": jax.default_backend(),
        "versions": dict(versions()),
        **({"cpu_threads": budget.cpu_threads()} if jax.default_backend() == "cpu" else {}),
        **({} if where.starts is None else {"init": where.starts.described()}),
    }


@cache
def versions() -> dict[str, str]:
    """Versions of everything that decides the bits of a result."""
    from importlib.metadata import version

    packages = ("jax", "jaxlib", "flax", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
