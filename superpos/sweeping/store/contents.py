"""Read a store: everything is checked against everything else before memory is taken, and a damaged file is named."""

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from superpos.errors import StoreError, one_line
from superpos.sweeping.flat import unflatten
from superpos.sweeping.grid import MAX_CELLS
from superpos.sweeping.sorting import distinct
from superpos.sweeping.store import atomic_io
from superpos.sweeping.store.backend import MAX_EMPTY, Source
from superpos.sweeping.store.handle import METADATA
from superpos.sweeping.store.storable import FORM, TYPES
from superpos.sweeping.store.writer import DONE, GRID_INDEX, STATUS, digest, key
from superpos.sweeping.variables import FORMAT, Field, empty

OPENED = "the result that was opened"

# Results up to this size are read at once; of larger ones, what is asked for.
EAGER_BYTES = 64 * 2**20

# Format of a result that was saved in grid form, see `superpos.sweeping.store.grid_contents`.
SAVED = 3

MAX_EMPTY_SLOTS = 2**20  # of a chunk, beyond those of the store


class Contents:
    """What a store says it holds and what is there; numbers are not read yet."""

    def __init__(self, source: Source, attributes: dict[str, Any]):
        self.source, self.path, self.attributes = source, source.path, attributes
        if attributes["format"] == 1:
            self.n_cells = math.prod(attributes["dims"].values())
            return
        if attributes["format"] != FORMAT:
            raise StoreError(
                f"{self.path} has format {attributes['format']}; this version of superpos reads formats 1 to {SAVED}."
            )
        if attributes.get("digest") != digest(attributes):
            self.damaged(f"its {METADATA} was changed")
        self.sizes: dict[str, int] = attributes["dims"]
        if not all(isinstance(n, int) and 1 <= n <= MAX_CELLS for n in self.sizes.values()):
            self.damaged("the lengths of its axes are no numbers of cells")
        self.n_cells = math.prod(self.sizes.values())
        self.variables: dict[str, dict[str, Any]] = attributes["variables"]
        for name in self.variables:
            if not name.strip(".") or set(name) & set("/\\"):
                raise StoreError(f"{self.path} is refused: it has a variable named {name!r}.")
            self._check_metadata(name)
        if not 1 <= self.n_cells <= MAX_CELLS:
            self.damaged(f"a grid of {self.sizes} is none")
        self.coordinates = [n for n in attributes["coordinate_names"] if n in self.variables]
        self.fixed = [*self.coordinates, GRID_INDEX]
        source.check_labels(sum(map(self._expected_size, self.fixed)), *self.fixed)
        for name in self.fixed:
            if self.variables[name]["shape"] != self.variables[name]["chunks"]:
                self.damaged(f"{name} is not in one chunk")
            self._check_chunk(name, 0)
        self.data = [n for n in self.variables if n not in (*self.fixed, STATUS)]
        self._slots = self._find_slots()
        self.committed = self._find_committed()
        self.n_bytes = sum(self._item_bytes(n) for n in self.data) * self.n_cells

    @property
    def chunk(self) -> int:
        """Slots per chunk."""
        return self.variables[STATUS]["chunks"][0]

    @property
    def n_chunks(self) -> int:
        """Chunks of all slots."""
        return -(-self.variables[STATUS]["shape"][0] // self.chunk)

    @property
    def complete(self) -> bool:
        """Whether every cell holds a model, and everything that is said to be there is."""
        done = bool((self.status[self._slots] == DONE).all())
        return done and not any(self.lost(number) for number in range(self.n_chunks))

    def damaged(self, what: str) -> None:
        """Raise the error that says so."""
        raise StoreError(f"{self.path} is damaged: {what}.")

    def lost(self, number: int) -> str | None:
        """What is wrong with a chunk that was committed: the first variable whose part is not there in full."""
        for name in self.data:
            if self._chunk_size(name, number) != self._expected_size(name):
                return name
        return None

    def broken(self, number: int) -> str | None:
        """Like `lost`, but the data is read and checksums are compared."""
        for name in self.data:
            if self._chunk_size(name, number) != self._expected_size(name) or not self.sound(name, number):
                return name
        return None

    def sound(self, name: str, number: int) -> bool:
        """Whether a chunk has the checksum it ends with."""
        raw = memoryview(self.source.read(name, key(number, len(self.variables[name]["shape"]))))
        return atomic_io.checksum(raw[: -atomic_io.CHECKSUM_BYTES]) == raw[-atomic_io.CHECKSUM_BYTES :]

    def check_now(self, name: str, numbers: Iterable[int]) -> None:
        """The result must still be the one that was opened, with these chunks: Zarr reads one that went as fill values.

        Raises:
            StoreError: it is another, or a chunk has another size.
        """
        self.source.held.check(OPENED)
        n_dims, expected = len(self.variables[name]["shape"]), self._expected_size(name)
        for number in numbers:
            if self.source.size_now(name, key(int(number), n_dims)) != expected:
                self.damaged(f"{name} lacks chunk {number}")

    def slots(self) -> np.ndarray:
        """The slot of every cell of the grid; -1 where no model is stored."""
        return np.where(self.committed[self._slots // self.chunk], self._slots, -1)

    def column(self, name: str) -> np.ndarray:
        """A coordinate, in the order of the grid if it is of cells; words are words again."""
        values = self._fixed(name)
        values = values[self._slots] if self.variables[name]["dims"][:1] == ["cell"] else values.copy()
        meaning = self.attributes["words"].get(name)
        return values if meaning is None else self.source.spelt(meaning, values)

    def dataset(self) -> xr.Dataset:
        """The result in grid form, its numbers not yet read if they are many."""
        dataset = xr.open_dataset(self, engine=_FlatEngine)  # pyright: ignore[reportArgumentType]
        return dataset.load() if self.n_bytes <= EAGER_BYTES else dataset

    def _fixed(self, name: str) -> np.ndarray:
        """A variable of one chunk, as it lies on disk."""
        variable = self.variables[name]
        raw = memoryview(self.source.read(name, key(0, len(variable["shape"]))))  # not copied: labels may be many
        values, sum_ = raw[: -atomic_io.CHECKSUM_BYTES], raw[-atomic_io.CHECKSUM_BYTES :]
        if len(raw) != self._expected_size(name) or atomic_io.checksum(values) != sum_:
            self.damaged(f"chunk 0 of {name} has a wrong checksum")
        if (label := self.attributes.get("labels", {}).get(name)) is not None and label != atomic_io.sha256(raw):
            self.damaged(f"the values of {name} are those of another result")
        array = np.frombuffer(values, np.dtype(variable["dtype"]).newbyteorder("<")).reshape(variable["shape"])
        return array.astype(variable["dtype"], copy=False)

    @property
    def source_group(self) -> Any:
        """The Zarr group."""
        if not hasattr(self, "_group"):
            self._group = self.source.group()
        return self._group

    def _check_metadata(self, name: str) -> None:
        variable, raw = self.variables[name], self.source.metadata(name)
        if atomic_io.checksum(raw).hex() != self.attributes["checksums"][name]:
            self.damaged(f"{name}/{METADATA} was changed")
        metadata = json.loads(raw)
        grid, codecs = metadata["chunk_grid"], [codec["name"] for codec in metadata["codecs"]]
        if codecs != ["bytes", "crc32c"]:
            raise StoreError(f"{self.path} is refused: {name} is stored with {', '.join(map(str, codecs))}.")
        keys = {"name": "default", "configuration": {"separator": "."}}
        kind = self._said_type(metadata["data_type"])
        if (
            [metadata["shape"], grid["configuration"]["chunk_shape"], kind, metadata.get("dimension_names", [])]
            != [variable["shape"], variable["chunks"], variable["dtype"], variable["dims"]]
            or grid["name"] != "regular"
            or kind is None
            or metadata["chunk_key_encoding"] != keys
            or not all(isinstance(n, int) and n >= 1 for n in (*variable["shape"], *variable["chunks"]))
            or variable["shape"][1:] != variable["chunks"][1:]
        ):
            self.damaged(f"{name} is not what the result says")

    def _said_type(self, data_type: Any) -> str | None:
        """NumPy's name of a Zarr type that results have; None for others."""
        return data_type if isinstance(data_type, str) and data_type in TYPES else None

    def _item_bytes(self, name: str) -> int:
        variable = self.variables[name]
        return math.prod(variable["shape"][1:]) * np.dtype(variable["dtype"]).itemsize

    def _expected_size(self, name: str) -> int:
        variable = self.variables[name]
        return math.prod(variable["chunks"]) * np.dtype(variable["dtype"]).itemsize + atomic_io.CHECKSUM_BYTES

    def _chunk_size(self, name: str, number: int) -> int | None:
        return self.source.sizes[name].get(key(number, len(self.variables[name]["shape"])))

    def _check_chunk(self, name: str, number: int) -> None:
        size = self._chunk_size(name, number)
        if size != self._expected_size(name):
            self.damaged(f"{name} has {'no' if size is None else f'{size:,} bytes in'} chunk {number}")

    def _find_slots(self) -> np.ndarray:
        """The slot of every cell, checked to be one each."""
        self.grid_index = index = self._fixed(GRID_INDEX)
        slots = np.flatnonzero(index >= 0)
        if len(slots) != self.n_cells or self.variables[STATUS]["shape"] != [len(index)]:
            self.damaged(f"{len(slots)} cells do not fill a grid of {self.sizes}")
        if self.chunk > max(len(index), MAX_EMPTY_SLOTS):
            self.damaged(f"chunks of {self.chunk:,} cells are none")
        order = np.full(self.n_cells, -1)
        order[index[slots]] = slots
        if (order < 0).any():
            self.damaged(f"{GRID_INDEX} names a cell twice")
        for name in self.data:
            variable = self.variables[name]
            if (
                variable["dims"][:1] != ["cell"]
                or variable["shape"][0] != len(index)
                or variable["chunks"][0] != self.chunk
            ):
                self.damaged(f"{name} is not laid out like {STATUS}")
        return order

    def _find_committed(self) -> np.ndarray:
        committed = np.zeros(self.n_chunks, bool)
        self.status = np.zeros(self.n_chunks * self.chunk, np.int8)
        for number in range(self.n_chunks):
            # Torn, emptied or damaged: as if not there.
            if self._chunk_size(STATUS, number) == self._expected_size(STATUS) and self.sound(STATUS, number):
                raw = self.source.read(STATUS, key(number, 1))
                committed[number] = True
                self.status[number * self.chunk :][: self.chunk] = np.frombuffer(
                    raw[: -atomic_io.CHECKSUM_BYTES], np.int8
                )
        return committed


class _FlatEngine(BackendEntrypoint):
    """How xarray is told about a store; it keeps what was read and reads nothing else."""

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: Any = None) -> xr.Dataset:
        """The dataset in grid form, its data not yet read."""
        opened: Contents = filename_or_obj
        for number in np.flatnonzero(opened.committed):
            if name := opened.lost(int(number)):
                opened.damaged(f"{name} lacks chunk {number}, whose models are said to be trained; resume the sweep")
        attributes, dims = opened.attributes, opened.sizes
        coords: dict[str, Any] = {}
        for name in opened.coordinates:
            coords[name] = (opened.variables[name]["dims"], opened.column(name))
        flat = xr.Dataset(coords=coords, attrs={k: v for k, v in attributes.items() if k not in FORM})
        dataset = unflatten(flat, dims)
        for name, own_dims in attributes.get("coordinate_dims", {}).items():
            # a coordinate along some of the dimensions was repeated along the others
            extra = {d: 0 for d in dataset[name].dims if d in dims and d not in own_dims}
            dataset = dataset.assign_coords({name: dataset[name].variable.isel(extra)})
        slots = opened.slots()
        slots[opened.status[slots] != DONE] = -1
        for name in opened.data:
            lazy = indexing.LazilyIndexedArray(_Cells(opened, name, slots))
            dataset[name] = xr.Variable((*dims, *opened.variables[name]["dims"][1:]), lazy)
        if (slots < 0).any():
            dataset["missing"] = xr.Variable(tuple(dims), (slots < 0).reshape(tuple(dims.values())))
        return dataset


class _Cells(BackendArray):
    """One variable in grid form: cells are fetched from their slots when they are asked for."""

    def __init__(self, opened: Contents, name: str, slots: np.ndarray):
        self._opened, self._name, declared = opened, name, opened.variables[name]
        self._array, self._slots = opened.source_group[name], slots.reshape(tuple(opened.sizes.values()))
        self.shape = (*self._slots.shape, *declared["shape"][1:])
        self.dtype = np.dtype(declared["dtype"])

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._fetch)

    def _fetch(self, indices: tuple[Any, ...]) -> np.ndarray:
        n = self._slots.ndim
        slots = _outer(self._slots, indices[:n], 0)
        unique_slots, inverse = np.unique(slots[slots >= 0], return_inverse=True)
        self._check_promise(slots.size)
        field = Field((), self.shape[n:], self.dtype)
        values = empty(field, slots.size)
        if len(unique_slots):
            first, last = int(unique_slots[0]), int(unique_slots[-1])
            self._check_files(distinct(unique_slots // self._opened.chunk))
            try:
                dense = 2 * len(unique_slots) > last - first
                rows = (
                    self._array[first : last + 1][unique_slots - first] if dense else self._array.oindex[unique_slots]
                )
                self._opened.source.held.check(OPENED)  # not replaced meanwhile
            except StoreError:
                raise
            except Exception as error:
                self._opened.source.held.check(OPENED)
                bad = [
                    k
                    for k in distinct(unique_slots // self._opened.chunk)
                    if not self._opened.sound(self._name, int(k))
                ]
                what = f"chunk {bad[0]} of {self._name} has a wrong checksum" if bad else one_line(error)
                cure = f"; remove status/{key(int(bad[0]), 1)} and resume the sweep to train it again" if bad else ""
                raise StoreError(f"{self._opened.path} is damaged: {what}{cure}.") from error
            values[slots.ravel() >= 0] = rows[inverse.ravel()]
        return _outer(values.reshape((*slots.shape, *self.shape[n:])), indices[n:], slots.ndim)

    def _check_promise(self, n_cells: int) -> None:
        """Refuse to fill memory with cells that hold nothing: of a sweep that has just begun, or a folder that lies."""
        n_promised, opened = n_cells * math.prod(self.shape[self._slots.ndim :]) * self.dtype.itemsize, self._opened
        n_stored = opened.source.on_disk(self._name)
        if n_promised > max(EAGER_BYTES, MAX_EMPTY * n_stored):
            raise StoreError(
                f"{opened.path} promises {n_promised:,} bytes of {self._name} and holds {n_stored:,}: let the sweep go on "
                "before you read all of it."
            )

    def _check_files(self, chunks: np.ndarray) -> None:
        self._opened.check_now(self._name, chunks.tolist())


def _outer(array: np.ndarray, key: tuple[Any, ...], first: int) -> np.ndarray:
    """Index some axes, each for itself; the last first, for a whole number removes its axis."""
    for axis in reversed(range(len(key))):
        array = array[(slice(None),) * (first + axis) + (key[axis],)]
    return np.asarray(array)
