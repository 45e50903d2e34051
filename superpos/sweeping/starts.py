"""The weights that every cell of a sweep starts from: matched by labels, stored with the sweep, part of its identity."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from superpos.sweeping.plan import Family
from superpos.training.start import (
    shapes_of,
)

CELLS_AT_A_TIME = 4_096  # bounded memory for huge grids
ENDING = "_start"  # of a coordinate that holds the start of a parameter


@dataclass(frozen=True)
class Starts:
    """Parameters by name: one array for all cells, or one per cell with cells leading (0 where a model is smaller)."""

    arrays: dict[str, np.ndarray]
    per_cell: tuple[str, ...]

    def described(self) -> dict[str, Any]:
        """What a result says of its start: the names, and a SHA-256 of all numbers."""
        digest = hashlib.sha256()
        for name, array in sorted(self.arrays.items()):
            digest.update(f"{name} {name in self.per_cell} {array.dtype} {array.shape}\n".encode() + array.tobytes())
        return {"parameters": sorted(self.arrays), "digest": digest.hexdigest()}

    def coordinates(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """The arrays as coordinates of a result, on dimensions of their own."""
        coords = {}
        for name, array in self.arrays.items():
            lead = ("cell",) if name in self.per_cell else ()
            dims = (f"{name}{ENDING}_{k}" for k in range(array.ndim - len(lead)))
            coords[f"{name}{ENDING}"] = ((*lead, *dims), array)
        return coords

    def of(self, family: Family, cells: Any) -> dict[str, np.ndarray]:
        """The parameters that some cells of a family start from, with the dimensions of `cells` leading."""
        parameters = {}
        for name, leaf in shapes_of(family.task).items():
            if name in self.arrays:
                corner = (..., *(slice(n) for n in leaf.shape))
                values = self.arrays[name][corner]
                parameters[name] = (
                    values[cells] if name in self.per_cell else np.broadcast_to(values, (*cells.shape, *values.shape))
                )
        return parameters


def restored(contents: Any) -> Starts | None:
    """The starts that a store keeps; None if its models start as their task starts them."""
    if (description := contents.attributes.get("init")) is None:
        return None
    if lost := [name for name in description["parameters"] if f"{name}{ENDING}" not in contents.variables]:
        contents.damaged(f"the start of {lost[0]} is not there")
    dims = {name: contents.variables[f"{name}{ENDING}"]["dims"] for name in description["parameters"]}
    arrays = {name: np.ascontiguousarray(contents.column(f"{name}{ENDING}")) for name in description["parameters"]}
    return Starts(arrays, tuple(name for name in arrays if "cell" in dims[name]))


def parameters(dataset: xr.Dataset) -> list[str]:
    """Names of the variables of a result that are parameters of its models."""
    others = ("loss", "diverged_step", "stopped_step", "missing")
    return [n for n in map(str, dataset.data_vars) if n not in others and not n.endswith(("_history", "_snapshots"))]
