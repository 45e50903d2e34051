"""The learning coefficient of every model of a result, by sampling."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos import check
from superpos.errors import ConfigError
from superpos.landscapes import learning_coefficients
from superpos.landscapes.blocks import AT_ONCE
from superpos.sweeping import mapped
from superpos.training.optimizers import named_leaves

# Variables that a healthy model alone has, and what stands for them in others.
LACKING = {"verdict": "no model", "diverged_draw": -1}


def llc_of_models(
    result: Any,
    *,
    snapshots: bool = False,
    method: str | None = None,
    nbeta: float | None = None,
    convention: str | None = None,
    at_once: int | None = None,
    gamma: float = 1.0,
    step_size: float | None = None,
    chains: int = 8,
    draws: int = 400,
    warmup: int = 200,
    steps: int = 8,
    batch_size: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """The table of `superpos.llc` over the axes of a result; see `SweepResult.llc`."""
    check.boolean("snapshots", snapshots)
    at_once = AT_ONCE if at_once is None else at_once
    if snapshots and "snapshot" not in result.dataset.dims:
        raise ConfigError("snapshots: the result has none; TrainConfig(snapshots=(0, 100)) keeps some.")
    settings = {
        "gamma": gamma, "step_size": step_size, "chains": chains, "draws": draws, "warmup": warmup, "steps": steps,
        "batch_size": batch_size, "seed": seed,
    }  # fmt: skip
    loss = result.dataset["loss"]
    healthy = ((result.dataset["diverged_step"] < 0) & ~result.missing).transpose(*loss.dims).values.ravel()
    columns = {name: mapped.flat_column(result.dataset.coords[name], loss) for name in result._axes}
    tables: dict[int, xr.Dataset] = {}
    for cells in mapped.of_one_shape(result, columns, np.flatnonzero(healthy)):
        tasks = [mapped.settings_of(result, columns, cell) for cell in cells]
        shapes = jax.eval_shape(tasks[0].broadcast().init, jax.random.key(0))
        exact = learning_coefficients.has_loss(tasks[0], shapes)
        sampling = learning_coefficients.settled(method, nbeta, settings, exact=exact)
        models, n_points = _points(result, shapes, cells, snapshots)
        repeated = [task for task in tasks for _ in range(n_points)]
        table = learning_coefficients.of_models(repeated, models, sampling, convention, at_once)
        for k, cell in enumerate(cells):
            one = table.isel(point=slice(k * n_points, (k + 1) * n_points))
            tables[int(cell)] = one.rename(point="snapshot") if snapshots else one.isel(point=0)
    if not tables:
        raise ConfigError("llc: no model of this result is finished and healthy.")
    return _labelled(tables, loss, result.dataset["snapshot_step"] if snapshots else None)


def _points(result: Any, shapes: Any, cells: np.ndarray, snapshots: bool) -> tuple[Any, int]:
    """The models to sample around, on one leading axis, and how many there are of every cell."""
    if not snapshots:
        return mapped.models_of(result, shapes, cells), 1
    loss = result.dataset["loss"]
    index = np.unravel_index(cells, loss.shape) if loss.ndim else ()
    at = dict(zip(loss.dims, (xr.DataArray(k, dims="cell_") for k in index), strict=True))
    leaves, n_points = [], result.dataset.sizes["snapshot"]
    for name, leaf in named_leaves(shapes):
        variable = result.dataset[f"{name}_snapshots"].isel(at)
        lead = ("cell_", "snapshot") if at else ("snapshot",)
        values = variable.transpose(*lead, ...).values.reshape(len(cells) * n_points, *variable.shape[-leaf.ndim :])
        leaves.append(jnp.asarray(values[(slice(None), *(slice(n) for n in leaf.shape))]))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves), n_points


def _labelled(tables: dict[int, xr.Dataset], loss: xr.DataArray, snapshot_step: xr.DataArray | None) -> xr.Dataset:
    """Tables of single cells as one over the axes of `loss`; cells without a model have NaN and the verdict "no model"."""
    example = next(iter(tables.values()))
    variables = {}
    for name, variable in example.data_vars.items():
        lacking = LACKING.get(str(name), np.nan)
        kind = object if variable.dtype.kind in "UO" else variable.dtype
        whole = np.full((loss.size, *variable.shape), lacking, kind)
        for cell, table in tables.items():
            whole[cell] = table[name].values
        whole = whole.astype(str) if kind is object else whole
        variables[name] = ((*loss.dims, *variable.dims), whole.reshape((*loss.shape, *variable.shape)))
    dataset = xr.Dataset(variables, loss.coords, attrs=example.attrs)
    if snapshot_step is not None:
        dataset = dataset.assign_coords(snapshot_step=("snapshot", snapshot_step.values))
    return dataset
