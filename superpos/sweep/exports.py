"""A result for other programs: one packed file, NetCDF, Parquet, or the parameters alone as safetensors."""

import json
import zipfile
from pathlib import Path

import numpy as np

from superpos.errors import ConfigError, StoreError
from superpos.sweep import exported, outputs, reading, saved
from superpos.sweep.held import METADATA
from superpos.sweep.result import SweepResult, open_result
from superpos.sweep.source import Source
from superpos.sweep.starts import parameters

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file knows: equal results give equal files


def pack(path: Path, target: Path, *, overwrite: bool = False) -> Path:
    """One file with everything in a result, in grid form, which `superpos.open` and any Zarr reader read: a plain zip.

    Raises:
        ConfigError: the target exists.
        StoreError: the store is damaged or unfinished, or the file cannot be written.
    """
    target = outputs.free(target, outputs.PACKED, outputs.never, overwrite=overwrite)
    opened = reading.opened(path)
    if path.is_file():
        raise ConfigError(f"{path} is packed already.")
    if opened.attributes["format"] == 1:
        raise StoreError(f"{path} was written by an earlier version: open it and save it again to pack it.")
    if not opened.committed.all():
        raise StoreError(f"{path} is not finished: {int((~opened.committed).sum())} chunks are missing.")
    for number in range(opened.n_chunks):
        if name := opened.broken(number):
            opened.damaged(f"chunk {number} of {name} is lost or has a wrong checksum")
    source = opened.source

    def write(temporary: Path) -> None:
        if opened.attributes["format"] == reading.SAVED:
            _zip(source, temporary)
        else:  # a store is flat; what is shared has a dimension for every axis
            result, grid = open_result(path, same_as=source.held), temporary.with_name("grid")
            saved.save(result.dataset, result.dims, grid)
            _zip(Source(grid), temporary)
        source.held.check(reading.OPENED)

    return outputs.write_by(target, write)


def _zip(source: Source, temporary: Path) -> None:
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as packed:
        for folder in ("", *sorted(set(source.sizes) - {""})):
            for name in sorted(source.sizes[folder], key=lambda name: (name != METADATA, name)):
                member = zipfile.ZipInfo(f"{folder}/{name}" if folder else name, _EPOCH)
                packed.writestr(member, source.read(folder, name))


def export(result: SweepResult, target: Path, *, overwrite: bool = False) -> Path:
    """Write a result as the target's suffix says: `.nc`, `.parquet` (one row per model), `.safetensors` or `.zarr`.

    `superpos.open` reads all of them: NetCDF, Parquet and Zarr come back as they were, safetensors without loss curves and
    snapshots. `.zarr` is what `SweepResult.save` writes, in grid form.

    Raises:
        ConfigError: another suffix, a package is not installed, or the target exists.
        StoreError: the file cannot be written.
    """
    if target.suffix == ".zarr":
        return result.save(target, overwrite=overwrite)
    if target.suffix not in exported.FORMATS:
        raise ConfigError(f"out must end in one of {', '.join(exported.FORMATS)} or .zarr, got {target.name!r}.")
    exported.installed(target.suffix)
    target = outputs.free(target, f"{target.suffix} file", outputs.never, overwrite=overwrite)
    writers = {".nc": _netcdf, ".parquet": _parquet, ".safetensors": _safetensors}
    writer = writers[target.suffix]
    return outputs.write_by(target, lambda temporary: writer(result, temporary))


def _netcdf(result: SweepResult, path: Path) -> None:
    dataset = result.dataset.load()
    dataset = dataset.assign_attrs({k: v if isinstance(v, str) else json.dumps(v) for k, v in dataset.attrs.items()})
    dataset.to_netcdf(path, engine="h5netcdf")


def _parquet(result: SweepResult, path: Path) -> None:
    import pyarrow as pa  # pyright: ignore[reportMissingImports]
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]

    columns, shapes = {}, {}
    loss = result["loss"]
    for axis in (a["name"] for a in result.attrs["grid"]["axes"]):
        if axis in loss.coords:
            columns[axis] = pa.array(loss.coords[axis].broadcast_like(loss).transpose(*loss.dims).values.ravel())
    for name, variable in result.dataset.data_vars.items():
        rest = tuple(variable.sizes[d] for d in variable.dims if d not in result.dims)
        values = variable.transpose(*result.dims, ...).values.reshape(loss.size, -1)
        flat = pa.array(np.ascontiguousarray(values).ravel())
        columns[str(name)] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1]) if rest else flat
        shapes[str(name)] = rest
    said = exported.labels(result.dataset, result.dims, tuple(shapes))
    about = {"superpos": json.dumps(result.attrs), "shapes": json.dumps(shapes), "labels": said}  # lists are flat
    pq.write_table(pa.table(columns).replace_schema_metadata(about), path)


def _safetensors(result: SweepResult, path: Path) -> None:
    from safetensors.numpy import save_file  # pyright: ignore[reportMissingImports]

    arrays = {
        name: np.ascontiguousarray(result.dataset[name].transpose(*result.dims, ...).values)
        for name in parameters(result.dataset)
    }
    names = [axis["name"] for axis in result.attrs["grid"]["axes"]]
    axes = {name: result.dataset.coords[name].values.tolist() for name in names if name in result.dataset.coords}
    curves = [n for n in result.dataset.variables if n not in arrays and str(n).endswith(("_history", "_snapshots"))]
    said = exported.labels(result.dataset.drop_vars(curves), result.dims, tuple(arrays))
    about = {"superpos": json.dumps(result.attrs), "axes": json.dumps(axes), "labels": said}
    save_file(arrays, path, metadata=about)
