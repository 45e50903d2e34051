"""What data are, as plain parts: arrays, labelled tables, generators of random numbers."""

import sys
from typing import Any

import numpy as np

from superpos.identity.names import as_bytes, belongs_to


def data_parts(value: Any) -> list[Any] | None:
    """Bytes, and objects to be described in turn, that together say what a value is; None if it is no data.

    Of arrays these are type, shape and every bit; of labelled tables also dimensions, coordinates and attributes; of
    generators of random numbers their state.
    """
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.generic):
        return [b"number", *_array(np.asarray(value))]
    if isinstance(value, np.dtype):
        return [b"type", as_bytes(repr(value.descr if value.names else value))]
    if isinstance(value, np.ufunc):
        return [b"ufunc", as_bytes(value.__name__)]
    if isinstance(value, np.random.RandomState):
        return [b"random", value.get_state(legacy=False)]
    if isinstance(value, np.random.Generator):
        return [b"random", value.bit_generator]
    if isinstance(value, np.random.BitGenerator):
        return [b"bits", value.state]
    for library, parts in (("jax", _of_jax), ("xarray", _of_xarray), ("pandas", _of_pandas), ("flax", _of_flax)):
        if library in sys.modules and (described := parts(value)) is not None:
            return described
    module = type(value).__module__.partition(".")[0]
    if module == "torch" and hasattr(value, "detach"):
        return [b"tensor", np.asarray(value.detach().cpu())]
    return None


def hides_code(value: Any) -> bool:
    """Whether a value computes with code that cannot be read from it: what `numpy.frompyfunc` makes."""
    return isinstance(value, np.ufunc) and value.__name__.endswith(" (vectorized)")


def _array(value: np.ndarray) -> list[Any]:
    if belongs_to(type(value)) == "user":  # a class of somebody's own, and what its arrays hold beside their numbers
        held = {key: attribute for key, attribute in vars(value).items() if not key.startswith("_")}
        plain = np.ma.MaskedArray if isinstance(value, np.ma.MaskedArray) else np.ndarray
        return [b"own", type(value), held, value.view(plain)]
    name = type(value).__qualname__
    kind = as_bytes(
        repr((name, value.dtype.descr if value.dtype.names else value.dtype.str, str(value.dtype), value.shape))
    )
    mask = [np.ma.getmaskarray(value)] if isinstance(value, np.ma.MaskedArray) else []
    value = np.asarray(value)
    if value.dtype.hasobject or value.dtype.kind == "T":
        return [b"array", kind, value.ravel().tolist(), *mask]
    return [b"array", kind, np.ascontiguousarray(value).tobytes(), *mask]


def _of_jax(value: Any) -> list[Any] | None:
    import jax
    from jax.core import Tracer

    if not isinstance(value, jax.Array) or isinstance(value, Tracer):
        return None
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return [b"keys", str(jax.random.key_impl(value)), np.asarray(jax.random.key_data(value))]
    return [b"jax", np.asarray(value)]


def _of_xarray(value: Any) -> list[Any] | None:
    import xarray as xr

    if isinstance(value, xr.Variable):
        return [b"variable", tuple(value.dims), value.attrs, value.values]
    if isinstance(value, xr.DataArray):
        return [b"labelled", value.name, value.variable, dict(value.coords.variables), sorted(map(str, value.xindexes))]
    if isinstance(value, xr.Dataset):
        coords = set(value.coords)
        return [b"table", dict(value.variables), coords, sorted(map(str, value.xindexes)), value.attrs]
    return None


def _of_pandas(value: Any) -> list[Any] | None:
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return [
            b"frame",
            value.columns,
            value.index,
            [value.iloc[:, k].array for k in range(value.shape[1])],
            value.attrs,
        ]
    if isinstance(value, pd.Series):
        return [b"series", value.name, value.index, value.array, value.attrs]
    if isinstance(value, pd.Index):
        return [b"index", list(value.names), str(value.dtype), value.to_numpy()]
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return [b"column", str(value.dtype), np.asarray(value)]
    return [b"instant", str(value)] if isinstance(value, pd.Timestamp | pd.Timedelta) or value is pd.NaT else None


def _of_flax(value: Any) -> list[Any] | None:
    from flax import nnx

    return [b"parameter", type(value).__qualname__, value[...]] if isinstance(value, nnx.Variable) else None
