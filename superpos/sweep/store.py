"""Results on disk: a Zarr v3 group with one `cell` dimension, which any xarray reader opens."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from superpos.errors import ConfigError, StoreError, one_line
from superpos.sweep import layout
from superpos.sweep.layout import FORMAT

# Cells per chunk on disk, unless there are fewer.
CHUNK_CELLS = 4_096


def writable(path: str | Path, *, overwrite: bool = False) -> Path:
    """The path, made absolute, if a result can be written there; an error before any work is done otherwise."""
    if not isinstance(path, str | os.PathLike) or not str(path).strip():
        raise ConfigError(f"output path must be a path, got {path!r}.")
    try:
        target = Path(path).expanduser().resolve()  # through a symbolic link, which stays one
        dangling = Path(path).expanduser().is_symlink() and not target.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"output path cannot be used: {one_line(error)}.") from None
    if dangling:
        raise ConfigError(f"output {path} cannot be written: it is a link to nowhere.")
    if any(_is_ours(folder) for folder in target.parents):
        raise ConfigError(f"output {path} lies inside another result; choose another path.")
    if target.exists() and not overwrite:
        raise ConfigError(f"output {path} exists; choose another path, or overwrite it on purpose.")
    if target.exists() and not _is_ours(target):
        raise ConfigError(f"output {path} exists and is no superpos result, so it is not overwritten.")
    parent = target.parent
    while not parent.exists():
        parent = parent.parent
    try:  # permissions do not tell: read-only file systems, and the superuser
        os.rmdir(tempfile.mkdtemp(prefix=f".{target.name}.", dir=parent))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"output {path} cannot be written: {parent} does not take a new folder ({reason}).") from None
    return target


def write(dataset: xr.Dataset, dims: Mapping[str, int], target: Path) -> None:
    """Write under a temporary name beside the target, then rename: a reader sees all of it or nothing."""
    flat = layout.flatten(dataset, dims)
    flat.attrs = {
        **flat.attrs,
        "dims": dict(dims),
        "coordinate_dims": {str(name): [str(d) for d in c.dims] for name, c in dataset.coords.items()},
        "variables": sorted(str(name) for name in flat.variables),
    }
    words = {name: flat[name].values.tolist() for name in flat.variables if flat[name].dtype.kind == "U"}
    if words:  # Zarr v3 has no stable type for text: words are kept as numbers and a list of what they mean
        flat.attrs["words"] = {}
        for name, values in words.items():
            meaning = sorted(set(np.ravel(values)))
            flat.attrs["words"][str(name)] = meaning
            flat[name] = (flat[name].dims, np.searchsorted(meaning, np.asarray(values)).astype(np.int32))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _to_zarr(flat, temporary / "new")
        if target.exists():
            target.rename(temporary / "old")
        try:
            (temporary / "new").rename(target)
        except BaseException:  # whatever happens, one of the two results stays
            if (temporary / "old").exists():
                (temporary / "old").rename(target)
            raise
    except OSError as error:
        raise StoreError(f"output {target} could not be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read(path: str | Path) -> xr.Dataset:
    """The dataset in grid form. Sizes are checked against the attributes before anything is read."""
    try:
        target = Path(path).expanduser()
        exists = target.exists()
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise StoreError(f"path of a result cannot be used: {one_line(error)}.") from None
    if not exists:
        raise StoreError(f"there is no result at {path}.")
    if not _is_ours(target):
        raise StoreError(f"{path} is no superpos result.")
    try:
        return _read(target)
    except StoreError:
        raise
    except Exception as error:  # whatever the reader trips over, the file is at fault
        raise StoreError(f"{path} is damaged: {type(error).__name__}: {one_line(error)}.") from error


def _read(path: Path) -> xr.Dataset:
    flat = xr.open_zarr(path, consolidated=False, chunks=None, decode_cf=False)
    attrs = dict(flat.attrs)
    if attrs["format"] != FORMAT:
        raise StoreError(f"{path} has format {attrs['format']}; this version of superpos reads format {FORMAT}.")
    dims: dict[str, int] = attrs.pop("dims")
    coordinate_dims: dict[str, list[str]] = attrs.pop("coordinate_dims")
    words: dict[str, list[str]] = attrs.pop("words", {})
    if flat.sizes.get("cell") != math.prod(dims.values()):
        raise StoreError(f"{path} is damaged: {flat.sizes.get('cell')} cells do not fill a grid of {dims}.")
    if missing := set(attrs.pop("variables")) - set(flat.variables):
        raise StoreError(f"{path} is damaged: {', '.join(sorted(missing))} is missing.")
    for name, variable in flat.variables.items():
        # Zarr reads a chunk that is not there as fill values, without a word.
        n_chunks = math.prod(-(-n // c) for n, c in zip(variable.shape, variable.encoding["chunks"], strict=True))
        files = [f for f in (path / str(name)).rglob("*") if f.is_file() and f.name != "zarr.json"]
        if len(files) != n_chunks and 0 not in variable.shape:
            raise StoreError(f"{path} is damaged: {name} has {len(files)} of its {n_chunks} chunks.")
    flat = flat.load()
    flat.attrs = attrs
    for variable in flat.variables.values():
        variable.attrs.clear()  # what the format keeps there; results have none
    for name, meaning in words.items():
        flat[name] = (flat[name].dims, np.asarray(meaning)[flat[name].values])
    flat = flat.set_coords(list(coordinate_dims))
    dataset = layout.unflatten(flat, dims)
    for (
        name,
        kept,
    ) in coordinate_dims.items():  # a coordinate along some of the dimensions was repeated along the others
        extra = {d: 0 for d in dataset[name].dims if d in dims and d not in kept}
        dataset = dataset.assign_coords({name: dataset[name].variable.isel(extra)})
    return dataset


def _is_ours(target: Path) -> bool:
    try:
        attributes = json.loads((target / "zarr.json").read_text())["attributes"]
        return "superpos" in attributes and "format" in attributes
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _to_zarr(flat: xr.Dataset, path: Path) -> None:
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    encoding = {}
    for name, variable in flat.variables.items():
        chunks = tuple(max(1, min(CHUNK_CELLS, n)) if d == "cell" else max(1, n) for d, n in variable.sizes.items())
        # A flipped bit must be an error, not a wrong number.
        encoding[name] = {"chunks": chunks, "compressors": (ZstdCodec(level=3), Crc32cCodec())} if variable.ndim else {}
    # Chunks of fill values are written as well: on reading, a chunk that is not there means damage.
    with zarr.config.set({"array.write_empty_chunks": True}):
        flat.drop_encoding().to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)
