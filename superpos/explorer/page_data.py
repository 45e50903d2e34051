"""What a page shows of a sweep, as plain data: models, their geometry, and how they got there."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.errors import ConfigError
from superpos.explorer import encode
from superpos.plot.appearance import caption
from superpos.plot.shape_colors import rule
from superpos.sweeping import SweepResult

FORMAT = 1
# Features whose pairs a page can draw.
MAX_FEATURES = 512
LABELS = {
    "feature_probability": "density p = 1 − S",
    "n_features": "features n",
    "n_hidden": "hidden dimensions m",
    "sparsity_coefficient": "sparsity coefficient λ",
    "dictionary_size": "dictionary size",
}


def pack(result: SweepResult) -> dict[str, Any]:
    """Everything the page shows of a sweep of toy models, JSON-ready.

    Cells are in the order of the result's dimensions, the last one fastest; every array has one row per cell. `axes` are
    what cells are chosen by: the dimensions of a product, or the columns of a flat design (`flat`).

    Raises:
        ConfigError: the models have no W, or more features than a page can draw.
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
        "task": {k: v for k, v in dataset.attrs["task"].items() if k in ("n_features", "n_hidden", "importance")},
    }


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
