"""A saved result on disk, format 3: a Zarr v3 group in grid form, one dimension per axis, for superpos and for plain xarray.

The store of a sweep that runs is flat (`superpos.sweep.store`); a result that is saved is complete, and looks to any reader
as it looks in memory: `xr.open_zarr(path).sel(feature_probability=0.1, seed=0)`. Every file has a size that follows from its
shape, and a checksum.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from superpos.errors import ConfigError, StoreError, one_line
from superpos.sweep import files, layout, reading, storable, store, tables
from superpos.sweep.grid import MAX_CELLS
from superpos.sweep.sorting import distinct
from superpos.sweep.source import METADATA, Source

TEXT = "fixed_length_utf32"  # the Zarr v3 name of NumPy's text of one width
MISSING = "missing"


def save(dataset: xr.Dataset, dims: Mapping[str, int], target: Path, *, overwrite: bool = False) -> None:
    """Write a whole result: under a temporary name beside the target, then renamed, so a reader sees all of it or nothing.

    Raises:
        ConfigError: something in it is none that could be read again.
    """
    dataset, order = storable.checked(dataset), [*dims, ...]
    variables = {str(n): v.transpose(*order, missing_dims="ignore") for n, v in dataset.variables.items()}
    of_variables = storable.attributes_of(dataset)
    attributes = storable.check_not_form(dataset.attrs)
    said = {
        "superpos": attributes["superpos"],  # first, where a packed file is told by it
        **attributes,
        "format": reading.SAVED,
        "dims": dict(dims),
        "coordinate_names": [str(name) for name in dataset.coords],
        "coordinates": " ".join(
            str(n) for n in dataset.coords if n not in dataset.dims
        ),  # for readers of CF conventions
    }
    with store._new(target) as new:
        _write(new, variables, dims, said, of_variables)
        try:  # whatever would be refused later is refused now
            reading.opened(new)
        except StoreError as error:
            why = str(error).replace(str(new), "it").rstrip(".")
            raise ConfigError(f"result cannot be stored, for it could not be opened again: {why}.") from None
        store._move_in(new, target, overwrite)


def _write(
    path: Path,
    variables: Mapping[str, xr.Variable],
    dims: Mapping[str, int],
    said: dict[str, Any],
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
            store._write_array(path / name, number, store._padded(values, rows) if variable.ndim else values)
    metadata = {name: (path / name / METADATA).read_bytes() for name in shapes}
    said = {
        **said,
        "variables": shapes,
        "checksums": {name: files.checksum(raw).hex() for name, raw in metadata.items()},
    }
    group.attrs.put({**said, "digest": store.digest(said)})
    files.sync_tree(path)


def _rows(variable: xr.Variable, dims: Mapping[str, int]) -> int:
    """Entries of the first dimension that one file holds: about as many cells as a chunk of a store."""
    if not variable.ndim:
        return 1
    if variable.dims[0] not in dims:
        return variable.shape[0]
    cells = math.prod(n for d, n in zip(variable.dims[1:], variable.shape[1:], strict=True) if d in dims)
    return int(np.clip(store.SAVED_CHUNK // cells, 1, variable.shape[0]))


class Saved(reading.Contents):
    """What a saved result says it holds and what is there; every file is there in its full size."""

    def __init__(self, source: Source, attributes: dict[str, Any]):
        self.source, self.path, self.attributes = source, source.path, attributes
        if attributes.get("digest") != store.digest(attributes):
            self.damaged(f"its {METADATA} was changed")
        self.sizes: dict[str, int] = attributes["dims"]
        if not all(isinstance(n, int) and 1 <= n <= MAX_CELLS for n in self.sizes.values()):
            self.damaged("the lengths of its axes are no numbers of cells")
        self.n_cells = math.prod(self.sizes.values())
        if not 1 <= self.n_cells <= MAX_CELLS:
            self.damaged(f"a grid of {self.sizes} is none")
        self.variables: dict[str, dict[str, Any]] = attributes["variables"]
        for name in self.variables:
            if not name.strip(".") or set(name) & set("/\\"):
                raise StoreError(f"{self.path} is refused: it has a variable named {name!r}.")
            self._check_metadata(name)
        self.data = list(self.variables)
        sizes = {**self.sizes}
        for name, said in self.variables.items():
            if len(set(said["dims"])) != len(said["shape"]) or any(
                sizes.setdefault(d, n) != n for d, n in zip(said["dims"], said["shape"], strict=True)
            ):
                self.damaged(f"the dimensions of {name} do not fit the others")
            for number in range(self._n_files(name)):
                self._check_chunk(name, number)
        if not set(self.sizes) <= {d for said in self.variables.values() for d in said["dims"]}:
            self.damaged(f"no variable is over {', '.join(self.sizes)}")
        self.coordinates = [n for n in attributes["coordinate_names"] if n in self.variables]
        source.check_labels(sum(map(self._bytes, self.coordinates)), *self.coordinates)
        self.committed = np.ones(1, bool)
        self.n_bytes = sum(map(self._bytes, self.variables))

    @property
    def n_chunks(self) -> int:
        """The most files that a variable has."""
        return max(map(self._n_files, self.variables))

    @property
    def complete(self) -> bool:
        """Whether every cell holds a model."""
        return self.n_missing == 0

    @property
    def n_missing(self) -> int:
        """How many cells hold no model: the result of an unfinished sweep may be saved, too."""
        return int(np.sum(self.source_group[MISSING][...])) if MISSING in self.variables else 0

    def broken(self, number: int) -> str | None:
        """The first variable whose file of this number has a wrong checksum."""
        return next((n for n in self.variables if number < self._n_files(n) and not self.sound(n, number)), None)

    def dataset(self) -> xr.Dataset:
        """The result, its numbers not yet read if they are many."""
        dataset = xr.open_dataset(self, engine=_Engine)  # pyright: ignore[reportArgumentType]
        return dataset.load() if self.n_bytes <= reading.EAGER_BYTES else dataset

    def _bytes(self, name: str) -> int:
        said = self.variables[name]
        return math.prod(said["shape"]) * np.dtype(said["dtype"]).itemsize

    def _n_files(self, name: str) -> int:
        said = self.variables[name]
        return -(-said["shape"][0] // said["chunks"][0]) if said["shape"] else 1

    def _said_type(self, found: Any) -> str | None:
        if isinstance(found, dict) and found.get("name") == TEXT and set(found) == {"name", "configuration"}:
            length = found["configuration"]["length_bytes"]
            return f"U{length // 4}" if isinstance(length, int) and length > 0 and length % 4 == 0 else None
        return super()._said_type(found)


class _Engine(BackendEntrypoint):
    """How xarray is told about a saved result; it keeps what was read and reads nothing else."""

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: Any = None) -> xr.Dataset:
        """The dataset, its data not yet read."""
        saved: Saved = filename_or_obj
        variables = {}
        for name, said in saved.variables.items():
            lazy = indexing.LazilyIndexedArray(_Array(saved, name))
            values = np.asarray(saved.source_group[name][...]) if name in saved.coordinates else lazy
            variables[name] = xr.Variable(said["dims"], values, tables._from_plain(said.get("attributes", {})))
        attrs = {k: v for k, v in saved.attributes.items() if k not in reading.FORM} | {"format": layout.FORMAT}
        coords = {name: variables.pop(name) for name in saved.coordinates}
        return xr.Dataset(variables, coords, attrs)


class _Array(BackendArray):
    """One variable, fetched when it is asked for."""

    def __init__(self, saved: Saved, name: str):
        self._saved, self._name, said = saved, name, saved.variables[name]
        self.shape, self.dtype = tuple(said["shape"]), np.dtype(said["dtype"])

    def __getitem__(self, wanted: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(wanted, self.shape, indexing.IndexingSupport.OUTER, self._fetch)

    def _files(self, wanted: tuple[Any, ...]) -> list[int]:
        """Numbers of the files that hold what is wanted: to look at all of them for every cell would be quadratic."""
        if not self.shape:
            return [0]
        rows = np.atleast_1d(np.arange(self.shape[0])[wanted[0]])
        return distinct(rows // self._saved.variables[self._name]["chunks"][0]).tolist()

    def _fetch(self, wanted: tuple[Any, ...]) -> np.ndarray:
        saved, name = self._saved, self._name
        files = self._files(wanted)
        saved.check_now(name, files)
        try:
            found = np.asarray(saved.source_group[name].oindex[wanted])
            saved.source.held.check(reading.OPENED)  # not replaced meanwhile
            return found
        except StoreError:
            raise
        except Exception as error:
            saved.source.held.check(reading.OPENED)
            bad = [k for k in files if not saved.sound(name, k)]
            what = f"chunk {bad[0]} of {name} has a wrong checksum" if bad else one_line(error)
            raise StoreError(f"{saved.path} is damaged: {what}.") from error
