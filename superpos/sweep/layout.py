"""The two forms of a result: one flat `cell` dimension (on disk), and one dimension per grid axis (in memory)."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

# Version of the form on disk, in every result's attributes.
FORMAT = 1


def unflatten(flat: xr.Dataset, dims: Mapping[str, int]) -> xr.Dataset:
    """Give the `cell` dimension the grid's shape; a coordinate named after a dimension becomes its index."""
    shape, names = tuple(dims.values()), tuple(dims)
    out: dict[str, xr.Variable] = {}
    for name, variable in flat.variables.items():
        if "cell" not in variable.dims:
            out[str(name)] = variable
            continue
        rest = tuple(d for d in variable.dims if d != "cell")
        values = variable.transpose("cell", *rest).values
        values = values.reshape((*shape, *values.shape[1:]))
        if name in dims:  # the axis itself: constant along all other dimensions
            axis = names.index(str(name))
            values = values[tuple(slice(None) if k == axis else 0 for k in range(len(names)))]
            out[str(name)] = xr.Variable(name, values, variable.attrs)
        else:
            out[str(name)] = xr.Variable((*names, *rest), values, variable.attrs)
    coords = {name: out.pop(str(name)) for name in flat.coords}
    return xr.Dataset(out, coords, flat.attrs)


def flatten(dataset: xr.Dataset, dims: Mapping[str, int]) -> xr.Dataset:
    """Lay the grid's dimensions out as one `cell` dimension, the last one fastest; undone by `unflatten`."""
    shape, names = tuple(dims.values()), tuple(dims)
    n_cells = int(np.prod(shape, dtype=np.int64))
    out: dict[str, xr.Variable] = {}
    for name, variable in dataset.variables.items():
        if name not in dims and not set(names) & set(variable.dims) and not (names == () and name in dataset.data_vars):
            out[str(name)] = variable
            continue
        rest = tuple(d for d in variable.dims if d not in dims)
        full = variable.set_dims({**dict(dims), **{d: variable.sizes[d] for d in rest}}).transpose(*names, *rest)
        values = np.ascontiguousarray(full.values).reshape(n_cells, *(variable.sizes[d] for d in rest))
        out[str(name)] = xr.Variable(("cell", *rest), values, variable.attrs)
    coords = {name: out.pop(str(name)) for name in dataset.coords}
    return xr.Dataset(out, coords, dataset.attrs)
