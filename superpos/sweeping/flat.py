"""Flat datasets, with one `cell` dimension, and datasets in grid form, with one dimension per axis."""

from collections.abc import Mapping

import xarray as xr


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
