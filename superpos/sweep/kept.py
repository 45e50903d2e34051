"""Tables computed from results, kept on disk beside them: computed once, and again when anything they depend on changes."""

import hashlib
import io
import json
import logging
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy
import xarray as xr

from superpos.errors import ConfigError
from superpos.sweep import files
from superpos.sweep.result import SweepResult

log = logging.getLogger("superpos")

SEAL_BYTES = 32
PACKAGE = Path(__file__).parents[1]
DECIDES_NO_NUMBER = ("plot", "explorer", "cli")
_ATTRIBUTES, _TYPES = "superpos_attributes", "superpos_types"


def kept(beside: str | Path, compute: Callable[..., xr.Dataset], *inputs: Any, **options: Any) -> xr.Dataset:
    """`compute(*inputs, **options)`, read from disk if it was computed before.

    The table lies next to `beside`, the path of the result it is of: that of `five.zarr` and `measure` in
    `five.measure.nc`, a NetCDF file (version 3, as SciPy writes it) followed by a seal: the SHA-256 of the file and of all
    that the table depends on. These are the function, its inputs (of results and tables every number, label and attribute),
    the sources of superpos that decide numbers, the versions of JAX, NumPy, SciPy and xarray, and the kind of device. A
    file with another seal, also a damaged one, is computed again and replaced; one that cannot be written costs time,
    nothing else.

    Raises:
        ConfigError: an input is nothing whose identity is known, or `compute` has no name of its own.
    """
    name = getattr(compute, "__qualname__", "<no name>")
    if "<" in name:
        raise ConfigError(f"compute must be a function with a name of its own in its module, got {name}.")
    path = Path(beside)
    path = path.with_name(f"{path.name.removesuffix('.zarr')}.{compute.__name__}.nc")
    said = [compute.__module__, name, _identity(inputs), _identity(options), *_circumstances(compute.__module__)]
    key = json.dumps(said, sort_keys=True).encode()
    try:
        raw = path.read_bytes()
        if raw[-SEAL_BYTES:] == _seal(key, raw[:-SEAL_BYTES]):
            return _decoded(raw[:-SEAL_BYTES])
    except OSError:
        pass  # there is none, or none that can be read
    raw = _encoded(compute(*inputs, **options))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.clean(path.parent, of=path.name)
        files.write(path, raw + _seal(key, raw))
    except OSError as error:
        log.warning("%s could not be kept: %s", path, error.strerror or error)
    return _decoded(raw)  # what the next call returns, too


def _seal(key: bytes, raw: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(key).digest() + raw).digest()


def _encoded(table: xr.Dataset) -> bytes:
    """As NetCDF, whose numbers are of at most 32 bits if whole, and whose attributes are flat: both are noted as JSON."""
    types = {str(name): variable.dtype.str for name, variable in table.variables.items()}
    noted = {_ATTRIBUTES: json.dumps(table.attrs), _TYPES: json.dumps(types)}
    bare = xr.Dataset({n: v.drop_attrs() for n, v in table.data_vars.items()}, table.coords, noted)
    return bytes(bare.to_netcdf(engine="scipy", format="NETCDF3_64BIT"))


def _decoded(raw: bytes) -> xr.Dataset:
    table = xr.load_dataset(io.BytesIO(raw), engine="scipy")
    for name, kind in json.loads(table.attrs[_TYPES]).items():
        table[name] = table[name].astype(kind)
    for variable in table.variables.values():
        variable.encoding = {}
    table.attrs = json.loads(table.attrs[_ATTRIBUTES])
    return table


def _identity(value: Any) -> Any:
    """Anything whose identity is known, as plain data of which equal ones are of equal values."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case SweepResult():
            return ["result", _identity(value.dataset)]
        case xr.DataArray():
            return ["array", str(value.name), _identity(value.rename(None).to_dataset(name="values"))]
        case xr.Dataset():
            variables = {str(n): [[*map(str, v.dims)], _identity(v.values)] for n, v in value.variables.items()}
            return ["table", variables, sorted(map(str, value.coords)), _identity(value.attrs)]
        case np.ndarray() if value.dtype.kind in "OU":
            return ["words", [str(word) for word in value.ravel()], value.shape]
        case np.ndarray() | np.generic():
            plain = np.ascontiguousarray(value)
            return [plain.dtype.str, plain.shape, hashlib.sha256(plain.tobytes()).hexdigest()]
        case list() | tuple() | range():
            return [_identity(item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _identity(item) for key, item in value.items()}
    raise ConfigError(f"inputs must be results, tables, arrays, numbers and words, got {type(value).__name__}.")


def _circumstances(module: str) -> list[Any]:
    """What else decides numbers: sources, versions, the kind of device, and the precision."""
    sources = [source_digest()]
    if module.partition(".")[0] != PACKAGE.name and (file := getattr(sys.modules.get(module), "__file__", None)):
        sources.append(hashlib.sha256(Path(file).read_bytes()).hexdigest())
    versions = [jax.__version__, np.__version__, scipy.__version__, xr.__version__]
    return [sources, versions, jax.default_backend(), str(jax.dtypes.canonicalize_dtype(float))]


@cache
def source_digest() -> str:
    """SHA-256 over the sources of superpos that decide numbers: all but pictures and the command line."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE)
        if where.parts[0] not in DECIDES_NO_NUMBER:
            raw = path.read_bytes()
            digest.update(f"{where.as_posix()} {len(raw)}\n".encode() + raw)
    return digest.hexdigest()
