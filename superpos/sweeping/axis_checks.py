"""What a grid sets, judged by the values that it sets: never by a default that no cell has."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from superpos import check
from superpos.config import task_from_dict, train_config_from_dict
from superpos.errors import ConfigError
from superpos.identity.registered import NotRegistered
from superpos.sweeping.axes import LAWS, Axis, Rule
from superpos.sweeping.grid import Grid
from superpos.sweeping.sorting import distinct
from superpos.tasks.base import Task, numeric_fields
from superpos.tasks.registry import is_known
from superpos.training.loop import TrainConfig
from superpos.training.unread import approximation_warnings, unread, without_effect

# Numeric fields that may be one number or one per feature, whichever of them the base settings hold.
VECTORS = ("feature_probability", "importance", "correlation")


def one_cell(
    task: Any, config: Any, axes: Mapping[str, Axis], columns: Mapping[str, Any], cell: int
) -> tuple[Task, TrainConfig]:
    """Task and configuration with the values of one cell in place of every swept field, as somebody would type them."""
    settled = []
    for node in (task, config):
        names = {f.name for f in fields(node)}
        values: dict[str, Any] = {}
        node_axes = [(name, axis) for name, axis in axes.items() if axis.field in names]
        for name, axis in sorted(node_axes, key=lambda item: item[1].rule.order):
            value = columns[name][cell]
            value = value.item() if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0 else value
            base = values.get(axis.field, getattr(node, axis.field))
            n_features = values.get("n_features", getattr(task, "n_features", None))  # whole fields were set before
            if axis.rule is Rule.VECTOR:
                fits = axis.field in VECTORS and axis.vectors.shape[1] == n_features
                value = axis.vectors[value] if fits else base  # what does not fit is refused by the axis's own check
            if axis.rule in LAWS:
                value = base if n_features is None else axis.law(float(value), n_features)
            if axis.rule in (Rule.DECAY, Rule.ENTRY):
                value = _within(axis, value, 0.0 if base is None else base, n_features)
            values[axis.field] = value
        settled.append(replace(node, **values))
    return settled[0], settled[1]


def _within(axis: Axis, value: Any, base: Any, n_features: Any) -> Any:
    """A vector field with one entry set, or decaying; the base itself where it is no vector, which is refused later."""
    try:
        vector = np.asarray(base, np.float64)
        if vector.ndim == 0 and axis.field in VECTORS:
            vector = np.full(n_features, vector)
        if vector.ndim != 1:
            return base
        with np.errstate(over="ignore", under="ignore"):
            if axis.rule is Rule.DECAY:
                return vector * float(value) ** np.arange(len(vector))
        vector = vector.copy()
        vector[axis.index] = value
        return vector
    except (TypeError, ValueError, IndexError):
        return base


def check_labels(grid: Grid, numeric: Mapping[str, Axis]) -> None:
    """Refuse axes whose labels say more than the models know: numbers that are one, or 0, in the precision of training."""
    dtype = jnp.zeros((), float).dtype
    for name, axis in numeric.items():
        check.finite_array(f"grid axis {axis.field}", axis.values)
        check.trained_as(f"grid axis {name}", np.asarray(axis.values, np.float64).ravel(), dtype)
        if grid.design == "product" and np.ndim(axis.values) == 1:
            check.held_apart(f"grid axis {name}", np.asarray(axis.values, np.float64), dtype)
    if grid.design not in ("zipped", "points") or any(np.ndim(axis.values) != 1 for axis in grid.axes.values()):
        return
    exact = {name: axis.values for name, axis in grid.axes.items()}
    with np.errstate(over="ignore"):
        trained = {n: v.astype(dtype) if n in numeric else v for n, v in exact.items()}
    merged = [n for n in numeric if len(distinct(exact[n])) > len(distinct(trained[n]))]
    if merged and _n_rows(exact) > _n_rows(trained):
        raise ConfigError(
            f"grid axis {merged[0]} tells cells apart by numbers that are one number in {np.dtype(dtype).name}: one model, "
            "two labels."
        )


def _n_rows(columns: Mapping[str, np.ndarray]) -> int:
    code = np.zeros(len(next(iter(columns.values()))), np.int64)
    for column in columns.values():
        values, inverse = np.unique(column, return_inverse=True)
        code = np.unique(code * len(values) + inverse, return_inverse=True)[1]
    return int(code.max()) + 1


@dataclass(frozen=True)
class Part:
    """Cells that share their static fields: settings of one of them, and which cells they are."""

    task: Task
    config: TrainConfig
    cells: np.ndarray


def check_effects(grid: Grid, columns: Mapping[str, np.ndarray], parts: list[Part]) -> list[str]:
    """Refuse axes over fields that no cell reads; sentences about settings that are read by none, to warn with.

    The rule is that of `superpos.training.unread`. An axis that only some cells read is allowed, and said where it trains a
    model more than once.
    """
    unread_in = []
    for part in parts:
        swept = []
        for node in (part.task, part.config):
            names = numeric_fields(node)
            columns_of_node = {
                a.field: columns[n][part.cells]
                for n, a in grid.axes.items()
                if a.rule is Rule.VALUE and a.field in names
            }
            swept.append(replace(node, **{k: v for k, v in columns_of_node.items() if v.ndim == 1}))  # type: ignore[type-var]
        unread_in.append(unread(*swept))
    nowhere = {name: why for name, why in unread_in[0].items() if all(name in reasons for reasons in unread_in)}
    sentences = list(dict.fromkeys(line for part in parts for line in approximation_warnings(part.task)))
    for name, axis in grid.axes.items():
        label = grid.design != "product" and _same(axis.values)
        if axis.field in nowhere and not label:
            raise ConfigError(f"grid axis {name} has no effect on any model: {nowhere[axis.field]}.")
        again = [
            k for k, part in enumerate(parts) if axis.field in unread_in[k] and not _same(columns[name][part.cells])
        ]
        if again and not label:
            why = unread_in[again[0]][axis.field]
            sentences.append(
                f"grid axis {name} has no effect on some models, which are trained once for every value: {why}."
            )
    swept_fields = [axis.field for axis in grid.axes.values()]
    return sentences + without_effect((parts[0].task, parts[0].config), nowhere, swept_fields)


def _same(values: Any) -> bool:
    values = np.asarray(values)
    return bool((values == values[:1]).all())


def check_said(dataset: xr.Dataset, axes: Mapping[str, Axis]) -> None:
    """Raise an error (of any kind: anything may be said) if the attributes of a result are not those of its variables."""
    if absent := next((name for name in ("loss", *axes) if name not in dataset.variables), None):
        raise ConfigError(f"the variable or axis {absent} is missing.")
    task, config = dataset.attrs["task"], train_config_from_dict(dataset.attrs["train"])
    if not is_known(task["kind"]):
        with suppress(NotRegistered):
            config.check()
        return
    columns = {name: dataset.coords[name].values.ravel()[:1] for name in axes}
    for node in one_cell(task_from_dict(task), config, axes, columns, 0):
        with suppress(NotRegistered):  # what is not imported here is missed when the model is asked for
            node.check()
