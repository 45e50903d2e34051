"""What a page shows of a sweep, as plain data: models, their geometry, and how they got there."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.errors import ConfigError
from superpos.explorer import encode
from superpos.explorer.landscape_data import pack_landscape
from superpos.explorer.naming import naming
from superpos.plot.appearance import caption
from superpos.plot.shape_colors import rule
from superpos.sweeping import SweepResult

FORMAT = 1
# Features whose pairs a page can draw.
MAX_FEATURES = 512
# Tasks whose models reconstruct by x' = f(Wᵀ W x + b); of weights from elsewhere it is assumed.
RECONSTRUCTING = ("toy", "adversarial_toy", "foreign")
# Fields of a task in whose sets every feature has its own company.
SETS = ("correlated_sets", "anticorrelated_sets")
LABELS = {
    "feature_probability": "density p = 1 − S",
    "n_features": "features n",
    "n_hidden": "hidden dimensions m",
    "sparsity_coefficient": "sparsity coefficient λ",
    "dictionary_size": "dictionary size",
}


def pack(result: SweepResult, landscape: xr.Dataset | None = None) -> dict[str, Any]:
    """Everything the page shows of a sweep of toy models, JSON-ready.

    Cells are in the order of the result's dimensions, the last one fastest; every array has one row per cell. `axes` are
    what cells are chosen by: the dimensions of a product, or the columns of a flat design (`flat`). With the `landscape` of
    the task (`superpos.landscape`) the page shows the minima of the chosen model's density.

    Raises:
        ConfigError: the models have no W, or more features than a page can draw; or the landscape is of another task.
    """
    dataset = result.dataset if result.sizes else result.dataset.expand_dims("cell")
    result = SweepResult(dataset)
    table, lead = result.geometry(), list(result.sizes)
    n_cells, n_most = int(np.prod(list(result.sizes.values()))), dataset.sizes["feature"]
    if n_most > MAX_FEATURES:
        raise ConfigError(f"a page shows models of at most {MAX_FEATURES} features, this result has {n_most}.")

    def rows(array: xr.DataArray, *inner: str) -> np.ndarray:
        values = array.transpose(*lead, *inner).values
        return values.reshape(n_cells, *values.shape[len(lead) :])

    def own(field: str) -> np.ndarray:
        """One of the task's sizes, for every cell."""
        if field in dataset.coords:
            return rows(dataset.coords[field].broadcast_like(dataset["loss"])).astype(int)
        return np.full(n_cells, int(dataset.attrs["task"][field]))

    shape = rows(table["shape"])
    named = encode.words(shape)
    cells = {
        "n": encode.whole(own("n_features")),
        "m": encode.whole(own("n_hidden")),
        "shape": named,
        "residual": encode.numbers(rows(table["residual"])),
        "loss": encode.numbers(rows(dataset["loss"]), log=True),
        "represented": encode.whole(rows(table["n_represented"])),
        "packing": encode.numbers(rows(table["packing"])),
        "W": encode.numbers(rows(dataset["W"], "hidden", "feature")),
        "b": encode.numbers(rows(dataset["b"], "feature")) if "b" in dataset else None,
        "norm": encode.numbers(rows(table["norm"], "feature")),
        "dimensionality": encode.numbers(rows(table["dimensionality"], "feature")),
        "component": encode.whole(rows(table["component"], "feature")),
        "component_shape": encode.words(rows(table["component_shape"], "feature")),
    }
    axes, flat = axes_of(dataset, lead)
    model = model_of(dataset.attrs, n_most)
    return {
        "format": FORMAT,
        "kind": "sweep",
        "caption": caption(dataset.attrs),
        "axes": axes,
        "flat": flat,
        "n_cells": n_cells,
        "cells": cells,
        "history": _history(dataset, rows),
        "snapshots": _snapshots(dataset, rows),
        "colors": rule(),
        "naming": naming(),
        "model": model,
        "landscape": None if landscape is None else pack_landscape(result, landscape),
    }


def model_of(attrs: dict[str, Any], n_features: int) -> dict[str, Any]:
    """What the page may assume of every model: how it reconstructs, at which density, and what changes nothing.

    `activation` is that of x' = f(Wᵀ W x + b), None where the models are no such. `turns`: whether the hidden layer may be
    rotated without changing the loss. Features of one number in `equal` may be exchanged: they have one importance and one
    density, in every cell.
    """
    task, axes = attrs["task"], attrs["grid"]["axes"]
    density = task.get("feature_probability")
    reconstructs = task["kind"] in RECONSTRUCTING
    penalised = task.get("hidden_l1") is not None or any(axis.get("field") == "hidden_l1" for axis in axes)
    return {
        "activation": task.get("activation", "relu") if reconstructs else None,
        "density": density if isinstance(density, int | float) else None,
        "turns": reconstructs and not penalised,
        "equal": _equal_features(task, axes, n_features),
    }


def _equal_features(task: dict[str, Any], axes: list[dict[str, Any]], n_features: int) -> list[int]:
    """The number of its kind for every feature; features of one kind may be exchanged."""
    each = np.arange(n_features)
    fields = ("importance", "feature_probability")
    if not all(field in task for field in fields) or any(task.get(field) for field in SETS):
        return each.tolist()
    kinds = []
    for field in fields:
        value = np.asarray(task[field], float)
        kinds.append(np.full(n_features, value) if value.ndim == 0 else each if value.size != n_features else value)
    sizes_differ = any(axis.get("field") == "n_features" for axis in axes)
    for axis in axes:
        if axis.get("field") not in fields or axis.get("rule") == "value":
            continue
        is_entry = axis.get("rule") == "entry" and not sizes_differ
        kinds.append(np.isin(each, each[[axis["index"]]]).astype(float) if is_entry else each.astype(float))
    return np.unique(np.stack(kinds, axis=1), axis=0, return_inverse=True)[1].ravel().tolist()


def axes_of(dataset: xr.Dataset, lead: list[str]) -> tuple[list[dict[str, Any]], bool]:
    """The dimensions of a product; of a flat design the columns over its cells that differ."""
    if lead != ["cell"]:
        return [
            _axis(d, dataset.coords[d].values if d in dataset.coords else np.arange(dataset.sizes[d])) for d in lead
        ], False
    columns = {
        str(name): c.values
        for name, c in dataset.coords.items()
        if c.dims == ("cell",) and name not in ("cell", "grid_index")
    }
    columns = columns or {"cell": np.arange(dataset.sizes["cell"])}
    axes = []
    for name, column in columns.items():
        values, index = np.unique(column, return_inverse=True)
        axes.append({**_axis(name, values), "index": encode.whole(index)})
    return axes, True


def _axis(name: str, values: Any) -> dict[str, Any]:
    array = np.asarray(values)
    numeric = array.dtype.kind in "iuf"
    positive = numeric and len(array) > 2 and bool(np.all(array > 0)) and float(array.max() / array.min()) >= 10
    return {
        "name": name,
        "label": LABELS.get(name, name.replace("_", " ")),
        "values": [float(v) for v in array] if numeric else [str(v) for v in array],
        "log": positive,
    }


def _history(dataset: xr.Dataset, rows: Any) -> dict[str, Any] | None:
    """The loss curve of every cell, where all cells have theirs at the same steps."""
    steps = dataset.coords.get("record_step")
    if steps is None or steps.dims != ("record",):
        return None
    return {"steps": steps.values.tolist(), "loss": encode.numbers(rows(dataset["loss_history"], "record"), log=True)}


def _snapshots(dataset: xr.Dataset, rows: Any) -> dict[str, Any] | None:
    if "W_snapshots" not in dataset:
        return None
    arrays = {"W": encode.numbers(rows(dataset["W_snapshots"], "snapshot", "hidden", "feature"))}
    if "b_snapshots" in dataset:
        arrays["b"] = encode.numbers(rows(dataset["b_snapshots"], "snapshot", "feature"))
    return {"steps": dataset.coords["snapshot_step"].values.tolist(), **arrays}
