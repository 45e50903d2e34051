"""Results that earlier versions wrote: compressed chunks of 4,096 cells, all of them there. Read, no longer written.

They are read exactly as they were written: one Zstandard frame per chunk, which says how much it holds, and a checksum.
Everything is compared with that before a byte is unpacked.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from superpos.errors import StoreError
from superpos.sweeping.flat import unflatten
from superpos.sweeping.store.atomic_io import CHECKSUM_BYTES
from superpos.sweeping.store.backend import Source
from superpos.sweeping.store.handle import METADATA
from superpos.sweeping.store.storable import TYPES

# Beyond `SMALL`, a result may promise this many times what is on disk.
MAX_RATIO = 20
SMALL = 192 * 2**20
CODECS = [
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
    {"name": "crc32c"},
]
KEYS = {"name": "default", "configuration": {"separator": "/"}}
ZSTANDARD = b"\x28\xb5\x2f\xfd"
RLE, RESERVED = 1, 3  # kinds of blocks


def read(source: Source, attributes: dict[str, Any]) -> xr.Dataset:
    """The dataset in grid form. Every file is checked before anything is unpacked.

    Raises:
        StoreError: something is missing, is not as earlier versions wrote it, or unpacks to more than it may.
    """
    path, attrs = source.path, dict(attributes)
    if not path.is_dir():
        raise StoreError(f"{path} is refused: results of format 1 were never packed.")
    if any(p.is_symlink() for p in path.rglob("*")):
        raise StoreError(f"{path} is refused: there are links in it.")
    on_disk = sum(p.lstat().st_size for p in path.rglob("*"))
    names = set(source.sizes) - {""}
    if missing := set(attrs["variables"]) - names:
        raise StoreError(f"{path} is damaged: {', '.join(sorted(missing))} is missing.")
    if more := names - set(attrs["variables"]):
        raise StoreError(f"{path} is refused: {min(more)} in it is no variable of it.")
    promised = sum(_check(source, name) for name in sorted(names))
    if promised > max(SMALL, MAX_RATIO * on_disk):
        raise StoreError(f"{path} is refused: it promises {promised:,} bytes and holds {on_disk:,}.")
    flat = xr.open_zarr(path, consolidated=False, chunks=None, decode_cf=False)
    dims: dict[str, int] = attrs.pop("dims")
    coordinate_dims: dict[str, list[str]] = attrs.pop("coordinate_dims")
    words: dict[str, list[str]] = attrs.pop("words", {})
    attrs.pop("variables")
    if flat.sizes.get("cell") != math.prod(dims.values()):
        raise StoreError(f"{path} is damaged: {flat.sizes.get('cell')} cells do not fill a grid of {dims}.")
    flat = flat.load()
    flat.attrs = attrs
    for variable in flat.variables.values():
        variable.attrs.clear()  # what the format keeps there; results have none
    for name, meaning in words.items():
        flat[name] = (flat[name].dims, source.spelt(meaning, flat[name].values))
    flat = flat.set_coords(list(coordinate_dims))
    dataset = unflatten(flat, dims)
    for name, own_dims in coordinate_dims.items():
        # a coordinate along some of the dimensions was repeated along the others
        extra = {d: 0 for d in dataset[name].dims if d in dims and d not in own_dims}
        dataset = dataset.assign_coords({name: dataset[name].variable.isel(extra)})
    return dataset


def _check(source: Source, name: str) -> int:
    """The bytes that a variable unpacks to, after a look at its metadata and at the frames of all of its chunks."""
    path, metadata = source.path, json.loads(source.metadata(name))
    shape, chunks = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
    codecs = CODECS if metadata["data_type"] not in ("bool", "int8", "uint8") else [{"name": "bytes"}, *CODECS[1:]]
    if metadata["codecs"] != codecs or metadata["data_type"] not in TYPES:
        raise StoreError(f"{path} is refused: {name} is not stored as earlier versions did.")
    if (
        (metadata["node_type"], metadata["chunk_grid"]["name"], metadata["chunk_key_encoding"])
        != ("array", "regular", KEYS)
        or metadata.get("storage_transformers")
        or len(shape) != len(chunks)
        or not all(isinstance(n, int) and n >= 1 for n in chunks)
        or not all(isinstance(n, int) and n >= 0 for n in shape)
    ):
        raise StoreError(f"{path} is damaged: {name} is not what the result says.")
    itemsize = np.dtype(metadata["data_type"]).itemsize
    files = [f for f in (path / name).rglob("*") if f.is_file() and f.name != METADATA]
    n_chunks = math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    if len(files) != n_chunks and 0 not in shape:  # Zarr reads a chunk that is not there as fill values, without a word
        raise StoreError(f"{path} is damaged: {name} has {len(files)} of its {n_chunks} chunks.")
    for file in files:
        if _unpacked_size(file) != math.prod(chunks) * itemsize:
            raise StoreError(f"{path} is damaged: a chunk of {name} does not hold what chunks of it hold.")
    return math.prod(shape) * itemsize + 2 * math.prod(chunks) * itemsize


def _unpacked_size(file: Path) -> int | None:
    """What the one Zstandard frame of a chunk unpacks to (RFC 8878, 3.1.1); None if it is another file, or does not say.

    Frames that say nothing, frames after the first, and files larger than their frame are none that were ever written.
    """
    raw = file.read_bytes()[:-CHECKSUM_BYTES]
    if raw[:4] != ZSTANDARD or len(raw) < 6:
        return None
    flag, single, more = raw[4] >> 6, raw[4] >> 5 & 1, raw[4] & 0b11111
    at, size = 5 + (not single), (single, 2, 4, 8)[flag]
    if more or not size:  # a checksum or a dictionary, which were never asked for; or no size
        return None
    unpacked = int.from_bytes(raw[at : at + size], "little") + (256 if flag == 1 else 0)
    at, last = at + size, False
    while not last:
        if at + 3 > len(raw):
            return None
        head = int.from_bytes(raw[at : at + 3], "little")
        last, kind, length = bool(head & 1), head >> 1 & 3, head >> 3
        if kind == RESERVED:
            return None
        at += 3 + (1 if kind == RLE else length)
    return unpacked if at == len(raw) else None
