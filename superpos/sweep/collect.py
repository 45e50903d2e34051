"""Gather what blocks report into labelled arrays."""

import platform
from functools import cache
from typing import Any

import jax
import numpy as np
import xarray as xr

import superpos
from superpos.config import to_dict
from superpos.sweep import layout, plan
from superpos.sweep.grid import Grid
from superpos.sweep.plan import Block, Family
from superpos.sweep.result import SweepResult
from superpos.tasks.base import Model, Task
from superpos.train import TrainConfig, named_leaves


class Collector:
    """Arrays over all cells of a grid, filled block by block. What no block has written is NaN."""

    def __init__(self, task: Task, config: TrainConfig, grid: Grid, families: list[Family], block_sizes: list[int]):
        self._families, self._grid, n = families, grid, grid.n_cells
        models = [jax.eval_shape(f.task.init, jax.random.key(0)) for f in families]
        boundaries = [f.config.boundaries() for f in families]
        n_record = max(len(b) for b in boundaries)
        self._variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        for name, dims, shape, dtype in _parameters(models):
            self._add(name, ("cell", *dims), (n, *shape), dtype)
            if config.snapshots:
                self._add(f"{name}_snapshots", ("cell", "snapshot", *dims), (n, len(config.snapshots), *shape), dtype)
        dtype = jax.tree.leaves(families[0].task)[0].dtype
        self._add("loss", ("cell",), (n,), dtype)
        self._add("loss_history", ("cell", "record"), (n, n_record), dtype)
        self._variables["diverged_step"] = (("cell",), np.full(n, -1, np.int32))
        self._boundaries, self._n_record = boundaries, n_record
        self._attributes = {
            "superpos": superpos.__version__,
            "format": layout.FORMAT,
            "task": to_dict(task),
            "train": to_dict(plan.stated(config, families)),
            "grid": grid.describe(),
            "block_size": sorted(set(block_sizes)),
            "precision": "highest",
            "dtype": str(np.dtype(dtype)),
            "platform": jax.default_backend(),
            "versions": dict(versions()),
        }

    def _add(self, name: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype: Any) -> None:
        if name not in self._variables:
            self._variables[name] = (dims, np.full(shape, np.nan, dtype))

    def add(self, family: int, block: Block, outcome: dict[str, Any]) -> None:
        """Write one block's models, losses and record into the cells they belong to."""
        cells = self._families[family].cells[block.members[: block.n_real]]
        self._write("loss", cells, outcome["loss"])
        self._write("diverged_step", cells, outcome["diverged_step"])
        self._write("loss_history", cells, outcome["history"].loss)
        for name, values in outcome["history"].metrics.items():
            self._add(f"{name}_history", ("cell", "record"), (self._grid.n_cells, self._n_record), values.dtype)
            self._write(f"{name}_history", cells, values)
        for name, leaf in named_leaves(outcome["model"]):
            self._write(name, cells, leaf)
        for name, leaf in named_leaves(outcome["snapshots"]):
            self._write(f"{name}_snapshots", cells, leaf)

    def _write(self, name: str, cells: np.ndarray, values: np.ndarray) -> None:
        # Families of other shapes share the array: each fills its corner, the rest stays NaN.
        self._variables[name][1][(cells, *(slice(size) for size in values.shape[1:]))] = values

    def result(self) -> SweepResult:
        """The labelled result."""
        coords: dict[str, Any] = {name: ("cell", column) for name, column in self._grid.columns().items()}
        if self._attributes["train"]["snapshots"]:
            coords["snapshot_step"] = ("snapshot", np.asarray(self._attributes["train"]["snapshots"]))
        if all(np.array_equal(steps, self._boundaries[0]) for steps in self._boundaries):
            coords["record_step"] = ("record", self._boundaries[0])
        else:
            steps_of = np.full((self._grid.n_cells, self._n_record), -1, np.int64)
            for family, steps in zip(self._families, self._boundaries, strict=True):
                steps_of[family.cells, : len(steps)] = steps
            coords["record_step"] = (("cell", "record"), steps_of)
        flat = xr.Dataset(self._variables, coords, self._attributes)
        return SweepResult(layout.unflatten(flat, self._grid.dims))


@cache
def versions() -> dict[str, str]:
    """Versions of everything that decides the bits of a result."""
    from importlib.metadata import version

    packages = ("jax", "jaxlib", "flax", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _parameters(models: list[Model]) -> list[tuple[str, tuple[str, ...], tuple[int, ...], Any]]:
    """Name, dimension names, largest shape and type of every parameter of any of the models."""
    found: dict[str, tuple[tuple[str, ...], tuple[int, ...], Any]] = {}
    for model in models:
        for name, leaf in named_leaves(model):
            dims = getattr(model, "DIMS", {}).get(name) or tuple(f"{name}_{k}" for k in range(leaf.ndim))
            before = found[name][1] if name in found else leaf.shape
            found[name] = (dims, tuple(max(a, b) for a, b in zip(before, leaf.shape, strict=True)), leaf.dtype)
    return [(name, *rest) for name, rest in found.items()]
