"""Save a result in grid form (format 3), which `grid_contents` describes."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from superpos.errors import ConfigError, StoreError
from superpos.sweeping.store import atomic_io, contents, reader, storable, writer
from superpos.sweeping.store.handle import METADATA


def save(dataset: xr.Dataset, dims: Mapping[str, int], target: Path, *, overwrite: bool = False) -> None:
    """Write a whole result: under a temporary name beside the target, then renamed, so a reader sees all of it or nothing.

    Raises:
        ConfigError: something in it is none that could be read again.
    """
    dataset, order = storable.checked(dataset), [*dims, ...]
    variables = {str(n): v.transpose(*order, missing_dims="ignore") for n, v in dataset.variables.items()}
    of_variables = storable.attributes_of(dataset)
    attributes = storable.check_not_form(dataset.attrs)
    attrs = {
        "superpos": attributes["superpos"],  # first, where a packed file is told by it
        **attributes,
        "format": contents.SAVED,
        "dims": dict(dims),
        "coordinate_names": [str(name) for name in dataset.coords],
        "coordinates": " ".join(
            str(n) for n in dataset.coords if n not in dataset.dims
        ),  # for readers of CF conventions
    }
    with writer._new(target) as new:
        _write(new, variables, dims, attrs, of_variables)
        try:  # whatever would be refused later is refused now
            reader.opened(new)
        except StoreError as error:
            why = str(error).replace(str(new), "it").rstrip(".")
            raise ConfigError(f"result cannot be stored, for it could not be opened again: {why}.") from None
        writer._move_in(new, target, overwrite)


def _write(
    path: Path,
    variables: Mapping[str, xr.Variable],
    dims: Mapping[str, int],
    attrs: dict[str, Any],
    of_variables: Mapping[str, Any],
) -> None:
    import warnings

    import zarr
    from zarr.codecs import Crc32cCodec

    group = zarr.create_group(path, zarr_format=3)
    shapes: dict[str, dict[str, Any]] = {}
    for name, variable in variables.items():
        dtype = variable.dtype
        rows = _rows(variable, dims)
        chunks = (rows, *variable.shape[1:]) if variable.ndim else ()
        with warnings.catch_warnings():  # that other readers may not know text of one width yet
            warnings.simplefilter("ignore")
            group.create_array(
                name,
                shape=variable.shape,
                chunks=chunks,
                dtype=dtype,
                compressors=Crc32cCodec(),  # no compression: a file's size follows from its shape, and is checked
                fill_value={"f": np.nan, "b": False, "U": ""}.get(dtype.kind, 0 if dtype.kind == "u" else -1),
                dimension_names=tuple(map(str, variable.dims)),
                chunk_key_encoding={"name": "default", "separator": "."},
            )
        shapes[name] = {
            "dims": list(map(str, variable.dims)),
            "shape": list(variable.shape),
            "chunks": list(chunks),
            "dtype": dtype.str.lstrip("<|=") if dtype.kind == "U" else str(dtype),
            **({"attributes": of_variables[name]} if name in of_variables else {}),
        }
        for number, start in enumerate(range(0, variable.shape[0], rows) if variable.ndim else (0,)):
            part = variable[start : start + rows] if variable.ndim else variable
            values = np.asarray(part.values).astype(dtype)
            writer._write_array(path / name, number, writer._padded(values, rows) if variable.ndim else values)
    metadata = {name: (path / name / METADATA).read_bytes() for name in shapes}
    attrs = {
        **attrs,
        "variables": shapes,
        "checksums": {name: atomic_io.checksum(raw).hex() for name, raw in metadata.items()},
    }
    group.attrs.put({**attrs, "digest": writer.digest(attrs)})
    atomic_io.sync_tree(path)


def _rows(variable: xr.Variable, dims: Mapping[str, int]) -> int:
    """Entries of the first dimension that one file holds: about as many cells as a chunk of a store."""
    if not variable.ndim:
        return 1
    if variable.dims[0] not in dims:
        return variable.shape[0]
    cells = math.prod(n for d, n in zip(variable.dims[1:], variable.shape[1:], strict=True) if d in dims)
    return int(np.clip(writer.SAVED_CHUNK // cells, 1, variable.shape[0]))
