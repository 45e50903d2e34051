"""A saved result on disk, format 3: a Zarr v3 group in grid form, one dimension per axis, for superpos and for plain xarray.

The store of a sweep that runs is flat (see `writer`); a result that is saved is complete, and looks to any reader as it looks
in memory: `xr.open_zarr(path).sel(feature_probability=0.1, seed=0)`. Every file has a size that follows from its shape, and
a checksum.
"""

import math
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from superpos.errors import StoreError, one_line
from superpos.sweeping.grid import MAX_CELLS
from superpos.sweeping.sorting import distinct
from superpos.sweeping.store import contents, tables, writer
from superpos.sweeping.store.backend import METADATA, Source
from superpos.sweeping.variables import FORMAT

TEXT = "fixed_length_utf32"  # the Zarr v3 name of NumPy's text of one width
MISSING = "missing"


class Saved(contents.Contents):
    """What a saved result says it holds and what is there; every file is there in its full size."""

    def __init__(self, source: Source, attributes: dict[str, Any]):
        self.source, self.path, self.attributes = source, source.path, attributes
        if attributes.get("digest") != writer.digest(attributes):
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
        for name, variable in self.variables.items():
            if len(set(variable["dims"])) != len(variable["shape"]) or any(
                sizes.setdefault(d, n) != n for d, n in zip(variable["dims"], variable["shape"], strict=True)
            ):
                self.damaged(f"the dimensions of {name} do not fit the others")
            for number in range(self._n_files(name)):
                self._check_chunk(name, number)
        if not set(self.sizes) <= {d for variable in self.variables.values() for d in variable["dims"]}:
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
        return dataset.load() if self.n_bytes <= contents.EAGER_BYTES else dataset

    def _bytes(self, name: str) -> int:
        variable = self.variables[name]
        return math.prod(variable["shape"]) * np.dtype(variable["dtype"]).itemsize

    def _n_files(self, name: str) -> int:
        variable = self.variables[name]
        return -(-variable["shape"][0] // variable["chunks"][0]) if variable["shape"] else 1

    def _said_type(self, data_type: Any) -> str | None:
        if (
            isinstance(data_type, dict)
            and data_type.get("name") == TEXT
            and set(data_type) == {"name", "configuration"}
        ):
            length = data_type["configuration"]["length_bytes"]
            return f"U{length // 4}" if isinstance(length, int) and length > 0 and length % 4 == 0 else None
        return super()._said_type(data_type)


class _Engine(BackendEntrypoint):
    """How xarray is told about a saved result; it keeps what was read and reads nothing else."""

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: Any = None) -> xr.Dataset:
        """The dataset, its data not yet read."""
        saved: Saved = filename_or_obj
        variables = {}
        for name, variable in saved.variables.items():
            lazy = indexing.LazilyIndexedArray(_Array(saved, name))
            values = np.asarray(saved.source_group[name][...]) if name in saved.coordinates else lazy
            variables[name] = xr.Variable(variable["dims"], values, tables._from_plain(variable.get("attributes", {})))
        attrs = {k: v for k, v in saved.attributes.items() if k not in contents.FORM} | {"format": FORMAT}
        coords = {name: variables.pop(name) for name in saved.coordinates}
        return xr.Dataset(variables, coords, attrs)


class _Array(BackendArray):
    """One variable, fetched when it is asked for."""

    def __init__(self, saved: Saved, name: str):
        self._saved, self._name, variable = saved, name, saved.variables[name]
        self.shape, self.dtype = tuple(variable["shape"]), np.dtype(variable["dtype"])

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._fetch)

    def _files(self, key: tuple[Any, ...]) -> list[int]:
        """Numbers of the files that hold what is wanted: to look at all of them for every cell would be quadratic."""
        if not self.shape:
            return [0]
        rows = np.atleast_1d(np.arange(self.shape[0])[key[0]])
        return distinct(rows // self._saved.variables[self._name]["chunks"][0]).tolist()

    def _fetch(self, key: tuple[Any, ...]) -> np.ndarray:
        saved, name = self._saved, self._name
        files = self._files(key)
        saved.check_now(name, files)
        try:
            values = np.asarray(saved.source_group[name].oindex[key])
            saved.source.held.check(contents.OPENED)  # not replaced meanwhile
            return values
        except StoreError:
            raise
        except Exception as error:
            saved.source.held.check(contents.OPENED)
            bad = [k for k in files if not saved.sound(name, k)]
            what = f"chunk {bad[0]} of {name} has a wrong checksum" if bad else one_line(error)
            raise StoreError(f"{saved.path} is damaged: {what}.") from error
