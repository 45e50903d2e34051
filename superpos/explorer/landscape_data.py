"""What a page shows of a landscape beside a sweep: the minima of every density, and which of them each model ended in."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from superpos import check
from superpos.config import task_from_dict
from superpos.errors import ConfigError
from superpos.landscapes import landscape
from superpos.landscapes.bottoms import loss_of
from superpos.landscapes.merging import classes, invariants
from superpos.landscapes.problem import Problem, problem_of
from superpos.sweeping import SweepResult

DENSITY = "feature_probability"
# A model has ended in a minimum if no number that tells them apart is farther off than this. (Trained on samples, models
# stay within about .05 of it; minima of one density are .1 apart or more.)
ENDED = 0.1
SAME_DENSITY = 1e-5  # relative: results hold single precision
SAME_LOSS = 1e-3  # relative


def landscape_of(result: SweepResult, densities: Sequence[float], starts: int) -> xr.Dataset:
    """The landscape of a sweep's task at those of its densities that are nearest to `densities`, for its page.

    It holds the minima that random starts end in, as the models of the sweep do. (Minima that no start ends in are many more
    where features differ, and take minutes: known shapes and moved features are left to `superpos.landscape`.)

    Raises:
        ConfigError: a number is not allowed; the models are no toy models, or differ in other things than density and
            seed; or the task has no landscape.
    """
    check.integer("starts", starts, at_least=1, at_most=10**7)
    check.in_range("landscape", densities, above=0, at_most=1)
    if (kind := result.attrs["task"]["kind"]) != "toy":
        raise ConfigError(f"landscape is for toy models; this result holds {kind} models.")
    present = np.unique(_own_densities(result).values.astype(float))
    apart = np.abs(np.log(present[:, None] / np.asarray(densities, float)))
    chosen = present[np.unique(apart.argmin(axis=0))[::-1]]
    # The task's own density, which the sweep replaced, need not be allowed.
    task = replace(task_from_dict(result.attrs["task"]), feature_probability=float(chosen[0]))
    return landscape(task, starts, along={DENSITY: chosen}, candidates=False)


def _own_densities(result: SweepResult) -> xr.DataArray:
    """The density of every cell, or one for all of them."""
    own = result.dataset.coords.get(DENSITY)
    if own is None and np.ndim(result.attrs["task"].get(DENSITY)) == 0:
        own = xr.DataArray(float(result.attrs["task"][DENSITY]))
    if own is None or any(str(axis) not in (DENSITY, "seed") for axis in _axes(result)):
        raise ConfigError("landscape is shown beside a sweep over feature_probability and seed alone, or one of them.")
    return own


def pack_landscape(result: SweepResult, table: Any) -> dict[str, Any]:
    """The minima of a `landscape` for the page of a sweep of the same task, JSON-ready.

    `rows` has a list of minima for every density of the table, from the lowest loss; `row` and `ended` have for every cell,
    in the order of `pack`, the list of its density (−1: the table has none) and the minimum it ended in (−1: none). Features
    that the landscape takes for equal may be exchanged.

    Raises:
        ConfigError: `table` is no landscape over densities, or of another task.
    """
    densities, tables = _by_density(table)
    task = task_from_dict(result.attrs["task"])
    lead = list(result.sizes)
    cells = _own_densities(result).broadcast_like(result["loss"]).transpose(*lead).values.ravel()
    near = np.abs(cells[:, None] / densities - 1) <= SAME_DENSITY
    row = np.where(near.any(axis=1), near.argmax(axis=1), -1)
    if not near.any():
        raise ConfigError("landscape must be at densities of the sweep, and has none of them.")
    problem = _checked(task, int(row[row >= 0][0]), densities, tables)
    W = result.dataset["W"].transpose(*lead, "hidden", "feature").values.reshape(len(cells), -1)
    flat, label, ended = W.astype(float), classes(problem.task), np.full(len(cells), -1)
    if problem.bias:
        biases = result.dataset["b"].transpose(*lead, "feature").values.reshape(len(cells), -1)
        flat = np.concatenate([flat, biases], axis=1)

    def seen(points: np.ndarray) -> np.ndarray:
        return invariants(*problem.canonical(points), label)

    for k in np.unique(row[row >= 0]):
        here = np.flatnonzero(row == k)
        minima = np.stack([_flat(problem, tables[k], j) for j in range(tables[k].sizes["minimum"])])
        off = np.abs(seen(flat[here])[:, None] - seen(minima)).max(axis=-1)
        ended[here] = np.where(off.min(axis=1) <= ENDED, off.argmin(axis=1), -1)
    return {
        "starts": int(table.attrs["starts"]),
        "rows": [_minima(one) for one in tables],
        "row": row.tolist(),
        "ended": ended.tolist(),
    }


def _by_density(table: Any) -> tuple[np.ndarray, list[xr.Dataset]]:
    """Densities, and the minima that exist at each, from the lowest loss."""
    needed = {"loss", "name", "label", "share", "learning_coefficient", "flags", "W", "b"}
    if not isinstance(table, xr.Dataset) or not needed <= {*table.data_vars} or "starts" not in table.attrs:
        raise ConfigError(f"landscape must be a table of sp.landscape, got {check.short(type(table).__name__)}.")
    axes = [str(d) for d in table["loss"].dims if d != "minimum"]
    if axes == [DENSITY] and table[DENSITY].dtype.kind == "f" and f"{DENSITY}_of_feature" not in table:
        values, tables = table[DENSITY].values, [table.isel({DENSITY: k}) for k in range(table.sizes[DENSITY])]
    elif not axes and "density" in table.attrs:
        values, tables = np.array([table.attrs["density"]]), [table]
    else:
        raise ConfigError("landscape must be over numbers feature_probability, or of one density for all features.")
    tables = [one.isel(minimum=np.flatnonzero(np.isfinite(one["loss"].values))) for one in tables]
    return values.astype(float), [one.sortby("loss") for one in tables]


def _axes(result: SweepResult) -> list[str]:
    """The names of what differs between cells."""
    return [axis["name"] for axis in result.attrs["grid"]["axes"]]


def _checked(task: Any, k: int, densities: np.ndarray, tables: list[xr.Dataset]) -> Problem:
    """The problem of one density, unless the minima are those of another task: their loss would be another."""
    problem, lowest = problem_of(replace(task, feature_probability=float(densities[k]))), tables[k].isel(minimum=0)
    if lowest["W"].shape != problem.shape:
        raise ConfigError(f"landscape must be of models {problem.shape}, as the sweep, got {lowest['W'].shape}.")
    loss = loss_of(problem, _flat(problem, tables[k], 0))
    if abs(loss / float(lowest["loss"]) - 1) > SAME_LOSS:
        raise ConfigError("landscape must be of the sweep's own task: its minima have another loss there.")
    return problem


def _flat(problem: Problem, table: xr.Dataset, k: int) -> np.ndarray:
    """One minimum of a table as a flat vector."""
    return problem.flat(table["W"].values[k], table["b"].values[k] if problem.bias else None)


def _minima(table: xr.Dataset) -> list[dict[str, Any]]:
    """One density's minima as plain data; numbers that are not known are null."""

    def number(value: Any) -> float | None:
        return float(value) if np.isfinite(value) else None

    return [
        {
            "name": str(one["label"].item()),
            "loss": float(one["loss"]),
            "share": number(one["share"]),
            "coefficient": number(one["learning_coefficient"]),
            "flags": str(one["flags"].item()),
            "W": np.round(one["W"].values, 5).ravel().tolist(),
            "b": np.round(one["b"].values, 5).tolist(),
        }
        for one in (table.isel(minimum=k) for k in range(table.sizes["minimum"]))
    ]
