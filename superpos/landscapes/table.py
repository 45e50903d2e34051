"""Minima as a labelled table."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.geometries import geometry
from superpos.analysis.intervals import share_interval
from superpos.landscapes.labels import description, lettered
from superpos.landscapes.problem import Problem
from superpos.landscapes.search import Basin, curvature_of, exact_value

CONFIDENCE = 0.95
INNER = {
    "dimensionality": ("feature",),
    "W": ("hidden", "feature"),
    "b": ("feature",),
    "eigenvalues": ("mode",),
}


def row_of(problem: Problem, basin: Basin, starts: int) -> dict[str, Any]:
    """What the table says of one minimum."""
    W, b = problem.parts(basin.bottom.flat)
    shape, bend = geometry(W), curvature_of(problem, basin.bottom)
    low, high = (np.nan, np.nan)
    if starts:
        _, low, high = share_interval(basin.starts, starts, confidence=CONFIDENCE)
    return {
        "loss": exact_value(problem, basin.bottom),
        "name": shape.name,
        "label": description(shape.name, W, b, rectified=problem.task.activation == "relu", **problem.inputs),
        "dimensionality": shape.dimensionality,
        "starts": basin.starts,
        "share": basin.starts / starts if starts else np.nan,
        "share_low": low,
        "share_high": high,
        "learning_coefficient": bend.learning_coefficient,
        "rank": bend.rank,
        "index": bend.index,
        "zero_modes": bend.zero_modes,
        "symmetry_modes": bend.symmetry_modes,
        "dead_modes": bend.dead_modes,
        "gap": bend.gap,
        "gradient": bend.gradient / problem.untrained,
        "flags": "; ".join(bend.flags),
        "eigenvalues": bend.eigenvalues,
        "W": W,
        "b": np.zeros(problem.shape[1]) if b is None else b,
    }


def table_of(rows: list[dict[str, Any]], attrs: dict[str, Any]) -> xr.Dataset:
    """The minima of one cell from the lowest, over `minimum`."""
    rows = sorted(rows, key=lambda row: row["loss"])
    variables = {name: (("minimum", *INNER.get(name, ())), np.array([row[name] for row in rows])) for name in rows[0]}
    variables["label"] = (("minimum",), lettered(variables["label"][1]))
    return xr.Dataset(variables, {"minimum": np.arange(len(rows))}, attrs)


def branch_table(
    rows: list[list[dict[str, Any]]], branches: list[list[int]], axis: str, labels: np.ndarray, attrs: dict[str, Any]
) -> xr.Dataset:
    """The minima of many cells over (`axis`, `minimum`), one number for a minimum as long as it exists.

    `rows` are of `row_of`, `branches` their branches. Where a minimum does not exist, numbers are NaN (counts −1) and
    words "".
    """
    lowest: dict[int, float] = {}
    for cell, numbers in zip(rows, branches, strict=True):
        for row, number in zip(cell, numbers, strict=True):
            lowest[number] = min(row["loss"], lowest.get(number, np.inf))
    place = {number: k for k, number in enumerate(sorted(lowest, key=lambda number: lowest[number]))}
    shape, variables = (len(rows), len(place)), {}
    for name, example in rows[0][0].items():
        value = np.asarray(example)
        blank = "" if value.dtype.kind == "U" else -1 if value.dtype.kind == "i" else np.nan
        longest = max(len(str(row[name])) for cell in rows for row in cell) if blank == "" else 0
        full = np.full((*shape, *value.shape), blank, f"<U{max(longest, 1)}" if blank == "" else value.dtype)
        for k, (cell, numbers) in enumerate(zip(rows, branches, strict=True)):
            for row, number in zip(cell, numbers, strict=True):
                full[k, place[number]] = row[name]
        full = lettered(full) if name == "label" else full
        variables[name] = ((axis, "minimum", *INNER.get(name, ())), full)
    coordinates: dict[str, Any] = {"minimum": np.arange(len(place))}
    coordinates[axis] = labels if labels.ndim == 1 else np.arange(len(labels))
    if labels.ndim == 2:
        variables[f"{axis}_of_feature"] = ((axis, "feature"), labels)
    return xr.Dataset(variables, coordinates, attrs)
