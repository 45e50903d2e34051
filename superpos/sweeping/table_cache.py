"""Tables computed from results, cached on disk beside them: computed once, and again when anything they depend on changes."""

import hashlib
import json
import logging
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy
import xarray as xr

from superpos.errors import ConfigError, one_line
from superpos.identity import Identity, digest_of_modules, identity_of
from superpos.sweeping.store import atomic_io, resume, tables, writer

log = logging.getLogger("superpos")

SEAL_BYTES = 32


def cached(beside: str | Path, compute: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    """`compute(*inputs, **options)`, an `xarray.Dataset`, read from disk if it was computed before.

    The table lies next to `beside`, the path of the result it is of: that of `five.zarr` and `measure` in
    `five.measure.nc`, a NetCDF file (`superpos.sweeping.store.tables`) followed by a seal: the SHA-256 of the file and of all
    that the table depends on. These are the function's code with everything that it reaches (`superpos.identity`: helpers,
    globals, defaults, closures, the object of a method), its inputs (of results and tables every number, label and
    attribute), those sources of superpos that the code imports (but for pictures, pages and the command line; comments and
    docstrings do not count), the versions of Python, JAX, NumPy, SciPy, xarray and other
    libraries that the function uses, and the kind of device. A file with another seal, also a damaged one, is computed
    again and replaced; a table that cannot be written is returned all the same, with a warning.

    Raises:
        ConfigError: an input is nothing whose identity is known, the function depends on something that is not (an open
            file, `eval`), it has no name of its own, or the table would lie inside a result. Nothing has been computed.
    """
    name = getattr(compute, "__qualname__", "<no name>")
    if "<" in name or not str(getattr(compute, "__name__", "")).isidentifier():
        raise ConfigError(f"compute must be a function with a name of its own in its module, got {name}.")
    path = resume.beside(Path(beside).expanduser(), f"{compute.__name__}.nc")
    writer.outside(path, f"table of {name}")
    code = identity_of(compute, name)
    identities = [_input(value) for value in inputs], {key: _input(value) for key, value in options.items()}
    digests = (
        [identity.digest for identity in identities[0]],
        {key: identity.digest for key, identity in identities[1].items()},
    )
    modules = code.modules.union(*(identity.modules for identity in (*identities[0], *identities[1].values())))
    circumstances = _circumstances(code.libraries, modules)
    key = json.dumps([compute.__module__, name, code.digest, digests, circumstances], sort_keys=True).encode()
    try:
        raw = path.read_bytes()
        if raw[-SEAL_BYTES:] == _seal(key, raw[:-SEAL_BYTES]):
            return tables.decode(raw[:-SEAL_BYTES])
    except OSError:
        pass  # there is none, or none that can be read
    table = compute(*inputs, **options)
    if not isinstance(table, xr.Dataset):
        log.warning("%s could not be cached: it is no xarray.Dataset but a %s", path, type(table).__name__)
        return table
    try:
        raw = tables.encode(table)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_io.clean(path.parent, of=path.name)
        atomic_io.write(path, raw + _seal(key, raw))
    except (OSError, ValueError) as error:
        log.warning("%s could not be cached: %s", path, getattr(error, "strerror", None) or one_line(error))
        return table
    return tables.decode(raw)  # what the next call returns, too


def _seal(key: bytes, raw: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(key).digest() + raw).digest()


def _input(value: Any) -> Identity:
    try:
        return identity_of(value, type(value).__name__, as_input=True)
    except ConfigError as error:
        expected = f"inputs must be results, tables, arrays, numbers and words, got {type(value).__name__}"
        raise ConfigError(f"{expected} ({str(error).rstrip('.')}).") from None


def _circumstances(libraries: Mapping[str, str], modules: frozenset[str]) -> list[Any]:
    """What else decides numbers: sources of superpos, versions, the kind of device, and the precision."""
    versions = [platform.python_version(), jax.__version__, np.__version__, scipy.__version__, xr.__version__]
    precision = str(jax.dtypes.canonicalize_dtype(float))
    return [digest_of_modules(modules), versions, libraries, jax.default_backend(), precision]
