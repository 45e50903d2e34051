"""Results that `superpos export` wrote, read back: NetCDF, Parquet, safetensors. Sizes are checked before memory is taken.

A file for other programs holds numbers under names; `labels` say which axis is which, so the result comes back as it was.
Labels are JSON in a file's head, up to `MAX_LABELS`: heads have limits (100 MB in safetensors). What is more is an array.
"""

import json
import math
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from superpos.errors import ConfigError, StoreError
from superpos.extras import install_command
from superpos.sweeping.store import storable, tables

# suffix: what must be installed to write and to read it
FORMATS = {".nc": ("h5netcdf", "h5py"), ".parquet": ("pyarrow",), ".safetensors": ("safetensors",)}
# A compressed table may hold this many times what is on disk.
MAX_RATIO = 500
SMALL = 64 * 2**20
MAX_LABELS = 2**20  # characters of JSON


def is_exported(path: Any) -> bool:
    """Whether a path names a file of one of these kinds."""
    try:
        return Path(path).suffix in FORMATS and Path(path).expanduser().is_file()
    except (OSError, RuntimeError, TypeError, ValueError):
        return False


def installed(suffix: str) -> None:
    """Refuse a format whose packages are not there."""
    if absent := next((name for name in FORMATS[suffix] if find_spec(name) is None), None):
        raise ConfigError(f"{suffix} files need {absent}: {install_command('export')}.")


def labels(dataset: xr.Dataset, dims: dict[str, int], columns: Collection[str]) -> dict[str, Any]:
    """What makes a result of bare numbers: dimensions of every variable in `columns`, values of all others.

    Where the values together are more than `MAX_LABELS`, the variables that are left become columns, too: the keys of
    `columns` say what the file must hold.
    """
    description: dict[str, Any] = {
        "dims": dims,
        "columns": {},
        "values": {},
        "coordinates": list(map(str, dataset.coords)),
    }
    if attributes := storable.attributes_of(dataset):
        description["attributes"] = attributes
    left = MAX_LABELS
    for name, variable in dataset.variables.items():
        over, kind = list(map(str, variable.dims)), variable.dtype
        if str(name) not in columns and variable.size <= left:
            listed = variable.values.tolist()
            if (left := left - len(json.dumps(listed))) >= 0:
                description["values"][str(name)] = [over, "U" if kind.kind == "U" else str(kind), listed]
                continue
            left = 0
        description["columns"][str(name)] = [over, str(kind)]
    return description


def as_json(value: Any) -> str:
    """A value in a form that `json.loads` reads, and words as they are unless they would be read as something else."""
    return value if isinstance(value, str) and _plain(value) == value else json.dumps(value)


def read(path: str | Path) -> xr.Dataset:
    """The dataset in grid form.

    Raises:
        ConfigError: a package that reads such files is not installed.
        StoreError: the file is damaged, or superpos did not write it.
    """
    target = Path(path).expanduser()
    installed(target.suffix)
    readers = {".nc": _netcdf, ".parquet": _parquet, ".safetensors": _safetensors}
    try:
        return readers[target.suffix](target)
    except StoreError:
        raise
    except Exception as error:  # whatever a reader trips over, the file is at fault
        text = " ".join(str(error).split())[:200]
        raise StoreError(f"{path} is damaged or no superpos result: {type(error).__name__}: {text}.") from error


def _netcdf(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf", decode_times=False, decode_timedelta=False) as opened:
        _ours(path, opened.attrs)
        _check_size(path, opened.nbytes, 4)
        dataset = opened.load()
    attrs = {k: _plain(v) for k, v in dataset.attrs.items()}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind == "O":  # words
            words = (variable.dims, variable.values.astype(str))
            dataset = dataset.assign_coords({name: words}) if name in dataset.coords else dataset.assign({name: words})
    return dataset.assign_attrs(attrs)


def _plain(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def _parquet(path: Path) -> xr.Dataset:
    import pyarrow as pa  # pyright: ignore[reportMissingImports]
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]

    with pq.ParquetFile(path) as file:
        about, schema, rows = file.schema_arrow.metadata or {}, file.schema_arrow, file.metadata.num_rows
        attrs, description = _about(path, {key.decode(): value for key, value in about.items()})
        inner, total = json.loads(about[b"shapes"]), 0
        for name, (_, dtype) in description["columns"].items():
            kind = pa.from_numpy_dtype(np.dtype(dtype))
            expected = pa.list_(kind, math.prod(inner[name])) if inner[name] else kind
            if not schema.field(name).type.equals(expected):
                raise StoreError(f"{path} is damaged: {name} is not what the result says.")
            total += rows * math.prod(inner[name]) * np.dtype(dtype).itemsize
        _check_size(path, total, MAX_RATIO)
        table = file.read(columns=list(description["columns"]))
    grid, columns = list(description["dims"]), {}
    for name, (dims, dtype) in description["columns"].items():
        column = table[name].combine_chunks()
        column = column.flatten() if inner[name] else column
        values = (
            column.to_numpy(zero_copy_only=False).astype(dtype).reshape((*description["dims"].values(), *inner[name]))
        )
        rest = [d for d in dims if d not in grid]
        whole = xr.Variable([*grid, *rest], values)  # a row has every number of its cell, also those of other cells
        columns[name] = whole.isel({d: 0 for d in grid if d not in dims}).transpose(*dims)
    return _assembled(attrs, description, columns)


def _safetensors(path: Path) -> xr.Dataset:
    from safetensors import safe_open  # pyright: ignore[reportMissingImports]

    with safe_open(path, framework="numpy") as opened:  # checks that offsets lie within the file
        attrs, description = _about(path, opened.metadata() or {})
        grid, columns = list(description["dims"]), {}
        for name, (dims, dtype) in description["columns"].items():
            values = opened.get_tensor(name)
            values = values.view(np.dtype(dtype))[..., 0] if np.dtype(dtype).kind == "U" else values
            order = [d for d in grid if d in dims] + [d for d in dims if d not in grid]
            columns[name] = xr.Variable(order, values).transpose(*dims)
    return _assembled(attrs, description, columns)


def _about(path: Path, metadata: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration, and the labels."""
    if "superpos" not in metadata:
        raise StoreError(f"{path} is no superpos result.")
    if "labels" not in metadata:
        raise StoreError(f"{path} was exported by an earlier version of superpos, without the labels of its axes.")
    attrs, description = json.loads(metadata["superpos"]), json.loads(metadata["labels"])
    _ours(path, attrs)
    return attrs, description


def _assembled(attrs: dict[str, Any], description: dict[str, Any], columns: dict[str, Any]) -> xr.Dataset:
    for name, (dims, dtype, values) in description["values"].items():
        array = np.asarray(values, str if dtype == "U" else np.dtype(dtype))
        columns[name] = xr.Variable(dims, array)
    for name, plain in description.get("attributes", {}).items():
        columns[name].attrs = tables._from_plain(plain)
    coords = {name: columns.pop(name) for name in description["coordinates"]}
    return xr.Dataset(columns, coords, attrs)


def _ours(path: Path, attrs: Any) -> None:
    if not isinstance(attrs, dict) or not {"superpos", "task", "train", "grid"} <= set(attrs):
        raise StoreError(f"{path} is no superpos result.")


def _check_size(path: Path, promised: int, ratio: int) -> None:
    on_disk = path.stat().st_size
    if promised > max(SMALL, ratio * on_disk):
        raise StoreError(f"{path} is refused: it promises {promised:,} bytes and holds {on_disk:,}.")
