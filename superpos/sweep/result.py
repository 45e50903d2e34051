"""What a sweep returns: labelled arrays, and the models in them."""

from collections.abc import Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos import check
from superpos.analysis.table import geometry_table
from superpos.config import task_from_dict, train_config_from_dict
from superpos.errors import ConfigError
from superpos.sweep import plan, store
from superpos.sweep.grid import Axis
from superpos.tasks.base import Model, Task
from superpos.train import TrainConfig, named_leaves

# Dimensions that belong to a model or its record rather than to the grid.
INNER_DIMS = ("record", "snapshot")


class SweepResult:
    """Trained models, labelled by the axes of their grid.

    `dataset` is an `xarray.Dataset`: parameters (`W` with dims (…, hidden, feature), `b`), `loss` on the evaluation
    inputs, `loss_history`, `diverged_step` (-1 for a healthy cell), and snapshots if any were asked for. Dimensions are
    the axes of the grid, or `cell` for zipped, random and listed designs. Attributes hold the whole configuration.
    """

    def __init__(self, dataset: xr.Dataset):
        self.dataset = dataset

    def __getitem__(self, name: str) -> xr.DataArray:
        check.known_key(name, [str(n) for n in self.dataset.variables], "result")
        return self.dataset[name]

    @property
    def dims(self) -> dict[str, int]:
        """Dimensions over models and their lengths."""
        return {str(d): int(n) for d, n in self.dataset["loss"].sizes.items()}

    @property
    def attrs(self) -> dict[str, Any]:
        """The whole configuration: task, train, grid, block size, versions."""
        return dict(self.dataset.attrs)

    def sel(self, indexers: Mapping[Any, Any] | None = None, method: Any = None, **axes: Any) -> "SweepResult":
        """Choose cells by their coordinates, as in xarray: `result.sel(feature_probability=0.05, method="nearest")`."""
        chosen = {**(indexers or {}), **axes}
        for name in chosen:
            self._check_axis(name)
        try:
            return SweepResult(self.dataset.sel(chosen, method=method))
        except KeyError:
            listed = ", ".join(f"{name}={value}" for name, value in chosen.items())
            raise ConfigError(f'result has no cell at {listed}; method="nearest" takes the closest.') from None

    def isel(self, **axes: Any) -> "SweepResult":
        """Choose cells by position along the axes."""
        for name in axes:
            self._check_axis(name)
        return SweepResult(self.dataset.isel(axes))

    def best(self, dim: str = "seed") -> "SweepResult":
        """The cell of lowest loss along one dimension, for every cell of the others. Diverged cells never win."""
        self._check_axis(dim)
        if dim not in self.dims:
            raise ConfigError(f"result has no dimension {dim!r} to choose along; dimensions: {', '.join(self.dims)}.")
        winner = self.dataset["loss"].fillna(np.inf).argmin(dim)
        return SweepResult(self.dataset.isel({dim: winner}))

    def task(self, **axes: Any) -> Task:
        """The task of one cell, with every field as it was trained; training it again gives the same model."""
        return self._cell(axes)._settings[0]

    def config(self, **axes: Any) -> TrainConfig:
        """The training configuration of one cell."""
        return self._cell(axes)._settings[1]

    def model(self, **axes: Any) -> Model:
        """The trained model of one cell: `result.model(feature_probability=0.1, seed=3)`."""
        cell = self._cell(axes)
        shapes = jax.eval_shape(cell._settings[0].broadcast().init, jax.random.key(0))
        leaves = []
        for name, leaf in named_leaves(shapes):
            values = cell.dataset[name].values
            leaves.append(jnp.asarray(values[tuple(slice(n) for n in leaf.shape)]))
        return jax.tree.unflatten(jax.tree.structure(shapes), leaves)

    def geometry(self, **options: Any) -> xr.Dataset:
        """What every model learned: shape names, D_i, norms and the rest, labelled like the result.

        See `superpos.analysis.table.geometry_table` for the variables and `superpos.geometry` for the options.
        """
        n_hidden = self._per_cell("n_hidden")
        return geometry_table(self.dataset["W"], n_hidden, **options)

    @property
    def diverged(self) -> list[dict[str, Any]]:
        """Coordinates of every cell that diverged, and the step at which it was frozen."""
        steps = self.dataset["diverged_step"]
        found = []
        for index in zip(*np.nonzero(np.atleast_1d(steps.values) >= 0), strict=True):
            cell = steps[dict(zip(steps.dims, index, strict=True))] if steps.ndim else steps
            found.append({**{a: cell.coords[a].item() for a in self._axes if a in cell.coords}, "step": cell.item()})
        return found

    def diverged_lines(self) -> list[str]:
        """One line of text per diverged cell."""
        return [
            ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in c.items()) for c in self.diverged
        ]

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a Zarr v3 group that `superpos.open` and `xarray.open_zarr` read. Returns the path."""
        target = store.writable(path, overwrite=overwrite)
        store.write(self.dataset, self.dims, target)
        return target

    def __repr__(self) -> str:
        task, train = self.attrs["task"], self.attrs["train"]
        n_models = int(np.prod(list(self.dims.values()), dtype=np.int64))
        over = " × ".join(f"{d} ({n})" for d, n in self.dims.items()) or "one cell"
        loss = self.dataset["loss"].values
        spread = f"{np.nanmin(loss):.3g} … {np.nanmax(loss):.3g}" if np.isfinite(loss).any() else "none finite"
        sizes = ", ".join(f"{k} {task[k]}" for k in ("n_features", "n_hidden", "activation") if k in task)
        lines = [
            f"SweepResult of {n_models:,} {task['kind']} models over {over}",
            f"  {sizes}; {train['steps']} steps of batch {train['batch_size']}, {train['optimizer']}",
            f"  loss {spread}" + (f"; {len(self.diverged)} diverged" if self.diverged else ""),
        ]
        return "\n".join(lines)

    @cached_property
    def _axes(self) -> dict[str, Axis]:
        axes = {}
        for a in self.attrs["grid"]["axes"]:
            axes[a["name"]] = Axis(None, a["field"], a["rule"], a["index"])
        return axes

    @property
    def _settings(self) -> tuple[Task, TrainConfig]:
        """Task and configuration of the one cell this result holds."""
        values = {name: self.dataset.coords[name].item() for name in self._axes}
        task, config = task_from_dict(self.attrs["task"]), train_config_from_dict(self.attrs["train"])
        return plan.with_settings(task, config, self._axes, values)

    def _cell(self, axes: Mapping[str, Any]) -> "SweepResult":
        cell = self.sel(**axes) if axes else self
        cell = SweepResult(cell.dataset.squeeze(list(cell.dims))) if set(cell.dims.values()) == {1} else cell
        if cell.dims:
            left = ", ".join(f"{d} ({n} values)" for d, n in cell.dims.items())
            raise ConfigError(f"one cell is needed; choose along {left}, or take .best(...).")
        return cell

    def _per_cell(self, field: str) -> Any:
        if field in self.dataset.coords:
            return self.dataset.coords[field]
        return self.attrs["task"][field]

    def _check_axis(self, name: Hashable) -> None:
        known = [*self._axes, *(d for d in self.dims if d not in self._axes)]
        if name not in known:
            raise ConfigError(
                f"result has no axis {name!r}.{check.suggestion(str(name), known)} Axes: {', '.join(known)}."
            )


def open_result(path: str | Path) -> SweepResult:
    """Read a result that `SweepResult.save`, `superpos sweep` or `superpos demo` wrote.

    Raises:
        StoreError: there is none at `path`, or it is damaged or not ours.
    """
    return SweepResult(store.read(path))
