"""Results that earlier versions wrote: compressed chunks of 4,096 cells, all of them there. Read, no longer written."""

import math
from pathlib import Path

import numpy as np
import xarray as xr

from superpos.errors import StoreError
from superpos.sweep import layout

# A result may promise this many times what is on disk: NaN compresses well.
MOST_RATIO = 500
SMALL = 64 * 2**20
ZSTANDARD = b"\x28\xb5\x2f\xfd"


def read(path: Path) -> xr.Dataset:
    """The dataset in grid form. Sizes are checked against the attributes before anything is read."""
    flat = xr.open_zarr(path, consolidated=False, chunks=None, decode_cf=False)
    attrs = dict(flat.attrs)
    dims: dict[str, int] = attrs.pop("dims")
    coordinate_dims: dict[str, list[str]] = attrs.pop("coordinate_dims")
    words: dict[str, list[str]] = attrs.pop("words", {})
    if flat.sizes.get("cell") != math.prod(dims.values()):
        raise StoreError(f"{path} is damaged: {flat.sizes.get('cell')} cells do not fill a grid of {dims}.")
    if missing := set(attrs.pop("variables")) - set(flat.variables):
        raise StoreError(f"{path} is damaged: {', '.join(sorted(missing))} is missing.")
    there = sum(p.lstat().st_size for p in path.rglob("*"))
    if any(p.is_symlink() for p in path.rglob("*")):
        raise StoreError(f"{path} is refused: there are links in it.")
    if flat.nbytes > max(SMALL, MOST_RATIO * there):
        raise StoreError(f"{path} is refused: it promises {flat.nbytes:,} bytes and holds {there:,}.")
    for name, variable in flat.variables.items():
        # Zarr reads a chunk that is not there as fill values, without a word.
        n_chunks = math.prod(-(-n // c) for n, c in zip(variable.shape, variable.encoding["chunks"], strict=True))
        files = [f for f in (path / str(name)).rglob("*") if f.is_file() and f.name != "zarr.json"]
        if len(files) != n_chunks and 0 not in variable.shape:
            raise StoreError(f"{path} is damaged: {name} has {len(files)} of its {n_chunks} chunks.")
        most = math.prod(variable.encoding["chunks"]) * variable.dtype.itemsize
        if any(_unpacked_size(f) > most for f in files):
            raise StoreError(f"{path} is damaged: a chunk of {name} says that it is larger than all chunks are.")
    flat = flat.load()
    flat.attrs = attrs
    for variable in flat.variables.values():
        variable.attrs.clear()  # what the format keeps there; results have none
    for name, meaning in words.items():
        flat[name] = (flat[name].dims, np.asarray(meaning)[flat[name].values])
    flat = flat.set_coords(list(coordinate_dims))
    dataset = layout.unflatten(flat, dims)
    for name, kept in coordinate_dims.items():
        # a coordinate along some of the dimensions was repeated along the others
        extra = {d: 0 for d in dataset[name].dims if d in dims and d not in kept}
        dataset = dataset.assign_coords({name: dataset[name].variable.isel(extra)})
    return dataset


def _unpacked_size(file: Path) -> int:
    """What a Zstandard frame says it unpacks to (RFC 8878, 3.1.1.1); 0 for a file that is none, or says nothing."""
    with file.open("rb") as opened:
        head = opened.read(18)
    if head[:4] != ZSTANDARD or len(head) < 6:
        return 0
    flag, single, dictionary = head[4] >> 6, head[4] >> 5 & 1, (0, 1, 2, 4)[head[4] & 3]
    at, size = 5 + (not single) + dictionary, (single, 2, 4, 8)[flag]
    return int.from_bytes(head[at : at + size], "little") + (256 if flag == 1 else 0)
