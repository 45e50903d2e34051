"""Match the weights that a sweep is given (`init`) with its cells, by the labels of their axes."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos import arrays
from superpos.errors import ConfigError
from superpos.sweeping.grid import Grid
from superpos.sweeping.plan import Family
from superpos.sweeping.result import open_result
from superpos.sweeping.starts import Starts, parameters
from superpos.training.loop import TrainConfig
from superpos.training.start import (
    check_start,
    given_parameters,
    known_names,
    parameter_numbers,
    shapes_of,
    steps_before,
    wrong_shape,
)

CELLS_AT_A_TIME = 4_096  # bounded memory for huge grids


def continued(config: Any, grid: Any, init: Any) -> tuple[Any, Any]:
    """The configuration, with the number of its first step unless it is chosen, and what was given, opened if it is a path.

    The first step is the one after those that led to `init`.
    """
    if isinstance(init, str | Path):
        init = open_result(init)
    if init is None or not isinstance(config, TrainConfig) or not isinstance(grid, Grid):
        return config, init  # refused, if wrong, where all settings are checked
    if config.first_step is None and "first_step" not in {axis.field for axis in grid.axes.values()}:
        config = replace(config, first_step=steps_before(init) or None)
    return config, init


def match_starts(init: Any, grid: Grid, families: list[Family]) -> Starts:
    """The start of every cell, checked against the models of its family.

    Labelled arrays and results are matched by the values of their axes; other arrays are of one model, or lead with the
    dimensions of the grid.

    Raises:
        ConfigError: an axis, a name, a shape or a number does not fit.
    """
    given, rows = _labelled(init, grid) if hasattr(init, "dataset") else ({}, None)
    if not given:
        given = given_parameters(init)
    known_names(given, {name: leaf for f in families for name, leaf in shapes_of(f.task).items()})
    parameters_of_cells, per_cell = {}, []
    for name, values in given.items():
        if arrays.is_traced(values):
            raise ConfigError(
                f"init: {name} must hold numbers that are known: a sweep cannot run inside a transformation."
            )
        if not isinstance(values, xr.DataArray):
            values = np.asarray(arrays.plain(f"init: {name}", values))
        of_cells, row = values, rows
        shapes = [shapes_of(f.task).get(name) for f in families]
        n_dims = next(leaf.ndim for leaf in shapes if leaf is not None)
        if isinstance(values, xr.DataArray) and values.ndim > n_dims:
            of_cells, row = _rows(values, [str(d) for d in values.dims[: values.ndim - n_dims]], grid)
        elif row is None and np.ndim(values) > n_dims:
            lead, dims = np.shape(values)[: np.ndim(values) - n_dims], tuple(grid.sizes.values())
            if lead != dims:
                raise ConfigError(
                    f"init: {name} must be of one model or lead with the grid's {dims}, got shape {np.shape(values)}."
                )
            of_cells, row = np.reshape(values, (grid.n_cells, *np.shape(values)[len(lead) :])), np.arange(grid.n_cells)
        dtype = jnp.zeros((), float).dtype
        if row is None:
            of_cells = parameter_numbers(name, of_cells).astype(dtype)
            for leaf in shapes:
                if leaf is None or of_cells.shape != leaf.shape:
                    raise wrong_shape(name, of_cells.shape, leaf.shape if leaf else ())
            parameters_of_cells[name] = of_cells
            continue
        of_cells = np.asarray(of_cells)
        full = np.zeros((grid.n_cells, *of_cells.shape[1:]), dtype)
        for family, leaf in zip(families, shapes, strict=True):
            _fill(name, full, of_cells[row[family.cells]], family, leaf)
        parameters_of_cells[name] = full
        per_cell.append(name)
    starts = Starts(parameters_of_cells, tuple(per_cell))
    for family in families:
        for batch in np.array_split(np.arange(len(family.cells)), math.ceil(len(family.cells) / CELLS_AT_A_TIME)):
            check_start(family.task, starts.of(family, family.cells[batch]))
    return starts


def _fill(name: str, full: np.ndarray, values: np.ndarray, family: Family, leaf: Any) -> None:
    """Put the starts of one family into the corner of its shape. A larger array holds NaN around it."""
    if leaf is None:
        if not np.isnan(values).all():
            raise ConfigError(f"init has {name}, which some of the models do not have.")
        return
    if len(leaf.shape) != values.ndim - 1 or any(n > m for n, m in zip(leaf.shape, values.shape[1:], strict=True)):
        raise wrong_shape(name, values.shape[1:], leaf.shape)
    corner = (slice(None), *(slice(n) for n in leaf.shape))
    if np.isfinite(values).sum() > np.isfinite(values[corner]).sum():
        raise wrong_shape(name, values.shape[1:], leaf.shape)
    full[(family.cells, *corner[1:])] = parameter_numbers(name, np.ascontiguousarray(values[corner]))


def _labelled(result: Any, grid: Grid) -> tuple[dict[str, Any], np.ndarray | None]:
    """The parameters of a result with its cells leading, and which of them every cell of the grid starts from."""
    names = parameters(result.dataset)
    dims = [d for d, n in result.sizes.items() if n > 1]
    if not dims:
        return given_parameters(result), None
    if bool(result.missing.any()):
        raise ConfigError("init is a result whose sweep is not finished: some of its models are missing.")
    first = result.dataset.squeeze([d for d, n in result.sizes.items() if n == 1])
    values, rows = {}, None
    for name in names:
        values[name], rows = _rows(first[name], dims, grid, [a["name"] for a in result.attrs["grid"]["axes"]])
    return values, rows


def _rows(values: xr.DataArray, dims: list[str], grid: Grid, axes: Any = ()) -> tuple[np.ndarray, np.ndarray]:
    """An array with its cells as rows, and the row for every cell of the grid: that of the same labels."""
    labels = {}
    for dim in dims:
        if dim in values.coords:
            labels[dim] = values.coords[dim]
        elif columns := {a: values.coords[a] for a in axes if a in values.coords and values.coords[a].dims == (dim,)}:
            labels |= columns  # of a design whose cells are listed
        else:
            raise ConfigError(f"init has no labels along {dim}, so its models cannot be matched with the grid's.")
    shape = tuple(values.sizes[d] for d in dims)
    flat = values.transpose(*dims, ...).values
    flat = flat.reshape((int(np.prod(shape)), *flat.shape[len(dims) :]))
    columns = grid.columns()
    grid_codes, given_codes = np.zeros(grid.n_cells, np.int64), np.zeros(len(flat), np.int64)
    for name, label in labels.items():
        column = label.broadcast_like(values.isel({d: 0 for d in values.dims if d not in dims})).transpose(*dims)
        labels_given, code = np.unique(column.values.ravel(), return_inverse=True)
        if name not in columns:
            if len(labels_given) == 1:
                continue  # of a design whose cells are listed: the same in all of them
            raise ConfigError(
                f"init has models for several {name}, and the grid has no such axis: choose one with sel."
            )
        grid_values = columns[name]
        place = np.minimum(np.searchsorted(labels_given, grid_values), len(labels_given) - 1)
        if len(lost := np.flatnonzero(labels_given[place] != grid_values)):
            raise ConfigError(f"init has no model at {name}={grid_values[lost[0]]}.")
        grid_codes, given_codes = grid_codes * len(labels_given) + place, given_codes * len(labels_given) + code
    order = np.argsort(given_codes, kind="stable")
    place = np.minimum(np.searchsorted(given_codes, grid_codes, sorter=order), len(flat) - 1)
    rows = order[place]
    if len(lost := np.flatnonzero(given_codes[rows] != grid_codes)):
        cell = ", ".join(f"{name}={columns[name][lost[0]]}" for name in labels if name in columns)
        raise ConfigError(f"init has no model at {cell}.")
    return flat, rows
