"""Results on disk: a Zarr v3 group with one `cell` dimension, written chunk by chunk, which any xarray reader opens.

Everything is laid out when the store is created, under a temporary name that is then renamed. A chunk of cells is committed
by its part of `status`: first its data, synced to disk, then the status. What a crash leaves is either committed or not
there. Nothing in a store differs from run to run.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superpos.errors import ConfigError, StoreError, one_line
from superpos.sweeping.store import atomic_io, storable
from superpos.sweeping.store.handle import METADATA, Held
from superpos.sweeping.variables import Field

STATUS, GRID_INDEX = "status", "grid_index"
MISSING, DONE, PADDING = 0, 1, 2
JOINED = "the store that was begun"

# What to do about a result that is in the way, with the words of Python, of commands, and of the scripts in figures/.
INSTEAD = "choose another path (store=, --out, --results of figures) or replace it (overwrite=True, --overwrite)"

# Cells per chunk of a result that is saved in one go.
SAVED_CHUNK = 4_096


def writable(path: str | Path, *, overwrite: bool = False, resume: bool = False) -> Path:
    """The path, made absolute, if a result can be written there; an error before any work is done otherwise.

    With `resume` a result that is there already is no error.
    """
    target = outside(path)
    atomic_io.clean_beside(target)
    if target.exists() and not is_ours(target):
        raise ConfigError(f"output {path} exists and is no superpos result, so it is not overwritten.")
    if target.exists() and not overwrite and not resume:
        raise ConfigError(f"output {path} exists; {INSTEAD}.")
    parent = target.parent
    while not parent.exists():
        parent = parent.parent
    try:  # permissions do not tell: read-only file systems, and the superuser
        probe = tempfile.mkdtemp(prefix=f".{target.name}.", dir=parent)
        with suppress(FileNotFoundError):  # another process took it for what a dead one had left
            os.rmdir(probe)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"output {path} cannot be written: {parent} does not take a new folder ({reason}).") from None
    return target


def outside(path: str | Path, what: str = "output") -> Path:
    """The path of something to be written, made absolute through symbolic links, which stay; `what` names it in errors.

    Raises:
        ConfigError: it is no path, leads nowhere, or lies inside a result.
    """
    if not isinstance(path, str | os.PathLike) or not str(path).strip():
        raise ConfigError(f"{what} path must be a path, got {path!r}.")
    try:
        target = Path(path).expanduser().resolve()
        dangling = Path(path).expanduser().is_symlink() and not target.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{what} path cannot be used: {one_line(error)}.") from None
    if dangling:
        raise ConfigError(f"{what} {path} cannot be written: it is a link to nowhere.")
    if any(is_ours(folder) for folder in target.parents):
        raise ConfigError(f"{what} {path} lies inside a result; choose another path.")
    return target


def is_ours(target: Path) -> bool:
    """Whether a folder says that it is a superpos result."""
    return bool(said(target))


def said(target: Path) -> dict[str, Any]:
    """What a folder says of itself if it is a superpos result; empty if it is none."""
    try:
        attributes = json.loads((target / METADATA).read_text())["attributes"]
        return attributes if "superpos" in attributes and "format" in attributes else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


class Blueprint(NamedTuple):
    """What a store is laid out from."""

    attributes: Mapping[str, Any]
    fields: Mapping[str, Field]
    coordinates: Mapping[
        str, tuple[tuple[str, ...], np.ndarray]
    ]  # dimensions and values, cells in the order of the grid
    grid_index: np.ndarray  # which cell lies in which slot, -1 for none
    chunk: int  # slots of one file


def create(target: Path, blueprint: Blueprint, *, overwrite: bool = False) -> bool:
    """Lay out a store whose cells hold nothing yet. False if another process was faster."""
    with _new(target) as new:
        _lay_out(new, blueprint)
        return _move_in(new, target, overwrite)


def write_chunk(store: Held, number: int, chunk: int, values: Mapping[str, np.ndarray], status: np.ndarray) -> None:
    """Commit one chunk: its data, on disk, and then its status. The last chunk may be shorter than the others.

    Files are named relative to the folder that is held, so they are written to no other store, whenever this one is moved.

    Raises:
        StoreError: its path leads elsewhere by now.
    """
    store.check(JOINED)
    for name, array in values.items():
        _write_array(store.name(name), number, _padded(array, chunk), store.descriptor)
    for name in values:
        atomic_io.sync(store.name(name), store.descriptor)
    store.check(JOINED)
    _write_array(store.name(STATUS), number, _padded(status, chunk), store.descriptor)
    atomic_io.sync(store.name(STATUS), store.descriptor)


@contextmanager
def _new(target: Path) -> Iterator[Path]:
    """Where a new store is laid out, before it moves in."""
    try:
        with atomic_io.folder_beside(target) as temporary:
            yield temporary / "new"
    except StoreError:
        raise
    except OSError as error:
        raise atomic_io.failed(target, error) from error


def digest(attributes: Mapping[str, Any]) -> str:
    """SHA-256 of a store's attributes, itself left out."""
    plain = {key: value for key, value in attributes.items() if key != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, allow_nan=True).encode()).hexdigest()


def key(number: int, n_dims: int) -> str:
    """File name of a chunk: all in one folder."""
    return ".".join(["c", str(number), *["0"] * (n_dims - 1)]) if n_dims else "c"


def _lay_out(path: Path, blueprint: Blueprint) -> None:
    import zarr
    from zarr.codecs import Crc32cCodec

    attributes, fields, coordinates, grid_index, chunk = blueprint
    storable.check_attributes(attributes)
    n_slots, words = len(grid_index), {}
    group = zarr.create_group(path, zarr_format=3)
    variables, labels = {}, {}

    def declare(name: str, dims: tuple[str, ...], shape: tuple[int, ...], chunks: tuple[int, ...], dtype: Any) -> None:
        kind = np.dtype(dtype).kind
        group.create_array(
            name,
            shape=shape,
            chunks=chunks,
            dtype=dtype,
            compressors=Crc32cCodec(),  # no compression: a file's size follows from its shape, and is checked
            fill_value=np.nan if kind == "f" else MISSING if name == STATUS else False if kind == "b" else -1,
            dimension_names=dims,
            chunk_key_encoding={"name": "default", "separator": "."},
        )
        variables[name] = {
            "dims": list(dims),
            "shape": list(shape),
            "chunks": list(chunks),
            "dtype": str(np.dtype(dtype)),
        }

    for name, field in fields.items():
        declare(name, ("cell", *field.dims), (n_slots, *field.shape), (chunk, *field.shape), field.dtype)
    declare(STATUS, ("cell",), (n_slots,), (chunk,), np.int8)
    for name, (dims, column) in {GRID_INDEX: (("cell",), grid_index), **coordinates}.items():
        array = _numbers(np.asarray(column))
        if array.dtype.kind == "U":  # Zarr v3 has no stable type for text: numbers, and a list of what they mean
            meaning, array = np.unique(array, return_inverse=True)
            words[name], array = meaning.tolist(), array.astype(np.int32)
        array = _in_slots(array, grid_index) if "cell" in dims and name != GRID_INDEX else array
        declare(name, dims, array.shape, array.shape, array.dtype)
        labels[name] = atomic_io.sha256(*_write_array(path / name, 0, array))
    metadata = {name: (path / name / METADATA).read_bytes() for name in variables}
    attrs = {
        **attributes,
        "words": words,
        "coordinate_names": list(coordinates),
        "coordinates": " ".join(n for n in (*coordinates, GRID_INDEX)),  # what readers of CF conventions look for
        "variables": variables,
        "checksums": {name: atomic_io.checksum(raw).hex() for name, raw in metadata.items()},
        "labels": labels,  # sweeps that differ in the values of their axes alone are others
    }
    group.attrs.put({**attrs, "digest": digest(attrs)})
    atomic_io.sync_tree(path)


def _move_in(new: Path, target: Path, overwrite: bool) -> bool:
    """Rename the new store into place. An old one is there until the new one is; one of the two always stays.

    (A process that dies between the two renames leaves the old one beside, and whoever writes there next moves it back.)
    """
    old = new.with_name(atomic_io.MOVED_AWAY)
    if target.exists() and overwrite:
        target.rename(old)
        try:
            if not is_ours(old):  # it was put there since the path was checked
                raise ConfigError(f"output {target} is no superpos result any longer, so it is not overwritten.")
            new.rename(target)
        except BaseException:
            old.rename(target)
            raise
    else:
        try:
            new.rename(target)  # fails if the folder is there: a store is never empty
        except OSError:
            if is_ours(target):
                return False
            raise
    atomic_io.sync(target.parent)
    return True


def _write_array(
    path: Path, number: int, values: np.ndarray, folder: int | None = None
) -> tuple[bytes | memoryview, ...]:
    encoded = atomic_io.encode(values)
    atomic_io.write(path / key(number, values.ndim), encoded, folder)
    return encoded


def _padded(values: np.ndarray, chunk: int) -> np.ndarray:
    if len(values) == chunk:
        return values
    fill = np.nan if values.dtype.kind == "f" else 0
    full = np.full((chunk, *values.shape[1:]), fill, values.dtype)
    full[: len(values)] = values
    return full


def _numbers(column: np.ndarray) -> np.ndarray:
    """A column as it is stored: words as text of one width, numbers in the machine's byte order, at most of 64 bits."""
    if column.dtype.kind == "O":
        return column.astype(str)
    if column.dtype.kind == "f" and column.dtype.itemsize > 8:
        return column.astype(np.float64)
    return column.astype(column.dtype.newbyteorder("="), copy=False)


def _in_slots(column: np.ndarray, grid_index: np.ndarray) -> np.ndarray:
    """A coordinate of the grid's cells in the order of the slots; NaN, -1 or False where there is no cell."""
    out = column[grid_index]
    out[grid_index < 0] = np.nan if column.dtype.kind == "f" else False if column.dtype.kind == "b" else -1
    return out
