"""A function of one model, applied to every model of a result."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos import check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError, one_line
from superpos.tasks.base import Task, static_fields
from superpos.training.optimizers import named_leaves


def map_models(
    result: Any, function: Any, *, dims: Mapping[str, Sequence[str]] | None = None, at_once: int = 256
) -> xr.DataArray | xr.Dataset:
    """What a function says of every model, labelled like the result; see `SweepResult.map`."""
    if not callable(function):
        raise ConfigError(f"map takes a function of one model, got {type(function).__name__}.")
    check.integer("at_once", at_once, at_least=1)
    with_task = _arguments(function) == 2
    loss = result.dataset["loss"]
    healthy = ((result.dataset["diverged_step"] < 0) & ~result.missing).transpose(*loss.dims).values.ravel()
    columns = {name: flat_column(result.dataset.coords[name], loss) for name in result._axes}
    outputs: list[Any] = [None] * loss.size
    use_compilation_cache()
    mapped = jax.jit(jax.vmap(function))
    for cells in of_one_shape(result, columns, np.flatnonzero(healthy)):
        example = settings_of(result, columns, cells[0])
        shapes = jax.eval_shape(example.broadcast().init, jax.random.key(0))
        for batch in np.split(cells, range(at_once, len(cells), at_once)):
            models = models_of(result, shapes, batch)
            given = (
                (models, _stacked([settings_of(result, columns, cell) for cell in batch])) if with_task else (models,)
            )
            try:
                values = mapped(*given)
            except Exception as error:
                raise ConfigError(
                    f"map: {_name(function)} failed for one model under jax.vmap: {type(error).__name__}: {one_line(error)}"
                ) from error
            values = jax.tree.map(np.asarray, values)
            for k, cell in enumerate(batch):
                outputs[cell] = jax.tree.map(lambda leaf, k=k: leaf[k], values)
    return _labelled(function, outputs, loss, dims or {})


def _arguments(function: Callable[..., Any]) -> int:
    """How many arguments the function takes that have no default: a model, or a model and its task."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in ones do not tell
        return 1
    count = sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    if count > 2:
        raise ConfigError(
            f"map: {_name(function)} takes {count} arguments; it must take a model, or a model and its task."
        )
    return max(1, count)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def flat_column(column: xr.DataArray, loss: xr.DataArray) -> np.ndarray:
    """A coordinate, one value per model, in the order of the flattened `loss`."""
    return column.broadcast_like(loss).transpose(*loss.dims).values.ravel()


def settings_of(result: Any, columns: Mapping[str, np.ndarray], cell: Any) -> Task:
    """The task of one model, by its place in the flattened result."""
    return result._settings_at({name: column[cell].item() for name, column in columns.items()})[0]


def of_one_shape(result: Any, columns: Mapping[str, np.ndarray], cells: np.ndarray) -> list[np.ndarray]:
    """The cells in groups whose models have one shape: those that agree in every static field of their task."""
    if not len(cells):
        return []
    static = static_fields(settings_of(result, columns, cells[0]))
    codes = [np.unique(columns[n][cells], return_inverse=True)[1] for n, a in result._axes.items() if a.field in static]
    if not codes:
        return [cells]
    groups = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].ravel()
    return [cells[groups == k] for k in range(groups.max() + 1)]


def models_of(result: Any, shapes: Any, cells: np.ndarray) -> Any:
    """Models of one shape, on a leading axis, without what pads them to the largest of the sweep."""
    loss = result.dataset["loss"]
    index = np.unravel_index(cells, loss.shape) if loss.ndim else ()
    at = dict(zip(loss.dims, (xr.DataArray(k, dims="cell_") for k in index), strict=True))
    leaves = []
    for name, leaf in named_leaves(shapes):
        values = (
            result.dataset[name].isel(at).transpose("cell_", ...).values if at else result.dataset[name].values[None]
        )
        leaves.append(jnp.asarray(values[(slice(None), *(slice(n) for n in leaf.shape))]))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def _stacked(tasks: list[Task]) -> Task:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(task.broadcast() for task in tasks))


def _labelled(
    function: Any, outputs: list[Any], loss: xr.DataArray, dims: Mapping[str, Sequence[str]]
) -> xr.DataArray | xr.Dataset:
    example = next((output for output in outputs if output is not None), None)
    if example is None:
        raise ConfigError("map: no model of this result is finished and healthy.")
    if not isinstance(example, Mapping):
        name = _name(function)
        name = name if name.isidentifier() else "value"
        return _variable(name, outputs, loss, dims.get(name))
    variables = {}
    for name in example:
        variables[str(name)] = _variable(
            str(name), [o if o is None else o[name] for o in outputs], loss, dims.get(str(name))
        )
    return xr.Dataset(variables)


def _variable(name: str, values: list[Any], loss: xr.DataArray, dims: Sequence[str] | None) -> xr.DataArray:
    """One output over the cells. Unhealthy cells, and what smaller models lack, are NaN; False or -1 where none exists."""
    given = [value for value in values if value is not None]
    if not all(isinstance(value, np.ndarray | np.generic) for value in given):
        raise ConfigError(f"map: {name} must be an array or a flat dict of arrays, got {type(given[0]).__name__}.")
    sizes = np.max([np.shape(value) for value in given], axis=0) if np.ndim(given[0]) else ()
    extra = tuple(dims) if dims is not None else tuple(f"{name}_{k}" for k in range(len(sizes)))
    if len(extra) != len(sizes) or set(extra) & set(map(str, loss.dims)):
        raise ConfigError(f"map: dims of {name} must be {len(sizes)} names that no axis has, got {extra}.")
    kind = np.result_type(*given)
    lacking: Any = np.nan if kind.kind in "fc" else False if kind.kind == "b" else -1
    whole = np.full((len(values), *(int(n) for n in sizes)), lacking, kind if kind.kind != "u" else np.int64)
    for k, value in enumerate(values):
        if value is not None:
            whole[(k, *(slice(n) for n in np.shape(value)))] = value
    return xr.DataArray(whole.reshape((*loss.shape, *whole.shape[1:])), loss.coords, (*loss.dims, *extra), name)
