"""A result for other programs: one packed file, NetCDF, Parquet, or the parameters alone as safetensors."""

import json
import math
import zipfile
from pathlib import Path

import numpy as np

from superpos.errors import ConfigError, StoreError, one_line
from superpos.sweeping import outputs
from superpos.sweeping.result import SweepResult, open_result
from superpos.sweeping.starts import parameters
from superpos.sweeping.store import contents, export_reader, grid_writer, reader, storable
from superpos.sweeping.store.backend import Source
from superpos.sweeping.store.handle import METADATA

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file knows: equal results give equal files


def pack(path: Path, target: Path, *, overwrite: bool = False) -> Path:
    """One file with everything in a result, in grid form, which `superpos.open` and any Zarr reader read: a plain zip.

    Raises:
        ConfigError: the target exists.
        StoreError: the store is damaged or unfinished, or the file cannot be written.
    """
    target = outputs.free(target, outputs.PACKED, outputs.DATA[outputs.PACKED], overwrite=overwrite)
    opened = reader.opened(path)
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
        if opened.attributes["format"] == contents.SAVED:
            _zip(source, temporary)
        else:  # a store is flat; what is shared has a dimension for every axis
            result, grid = open_result(path, same_as=source.held), temporary.with_name("grid")
            grid_writer.save(result.dataset, result.sizes, grid)
            _zip(Source(grid), temporary)
        source.held.check(contents.OPENED)

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
    if target.suffix not in export_reader.FORMATS:
        raise ConfigError(f"out must end in one of {', '.join(export_reader.FORMATS)} or .zarr, got {target.name!r}.")
    export_reader.installed(target.suffix)
    kind = f"{target.suffix} file"
    target = outputs.free(target, kind, outputs.DATA[kind], overwrite=overwrite)
    writers = {".nc": _netcdf, ".parquet": _parquet, ".safetensors": _safetensors}
    writer = writers[target.suffix]
    result.check_storable()

    def write(temporary: Path) -> None:
        try:
            writer(result, temporary)
        except (ConfigError, OSError):
            raise
        except Exception as error:  # of the packages that write, of many kinds
            raise ConfigError(f"result cannot be written as {target.suffix}: {one_line(error)}.") from error

    return outputs.write_by(target, write)


def _netcdf(result: SweepResult, path: Path) -> None:
    dataset = storable.checked(result.dataset.load(), kinds=storable.KINDS + "cS", empty=True, unicode=True)
    if "coordinates" in dataset.attrs:
        raise ConfigError("attribute coordinates cannot be written as .nc, which means something else by the name.")
    for dim in map(str, dataset.dims):
        storable.check_name("dimension", dim)
    dataset = dataset.assign_attrs({k: export_reader.as_json(v) for k, v in dataset.attrs.items()})
    dataset.to_netcdf(path, engine="h5netcdf")


def _parquet(result: SweepResult, path: Path) -> None:
    import pyarrow as pa  # pyright: ignore[reportMissingImports]
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]

    dataset, grid = storable.checked(result.dataset, unicode=True), result.sizes
    per_cell = [str(n) for n, v in dataset.data_vars.items() if not grid or set(grid) & set(v.dims)]
    description = export_reader.labels(dataset, grid, per_cell)
    axes = [a["name"] for a in result.attrs["grid"]["axes"] if a["name"] in dataset.coords]
    columns, shapes = {}, {}
    for name in dict.fromkeys((*axes, *description["columns"])):
        variable = dataset.variables[name]
        rest = {str(d): n for d, n in variable.sizes.items() if d not in grid}
        if grid and len(rest) == variable.ndim and name in description["columns"]:
            raise ConfigError(
                f"variable {name} cannot be written as .parquet: it is large, and over no axis of the grid."
            )
        values = variable.set_dims({**grid, **rest}).transpose(*grid, *rest).values
        flat = pa.array(np.ascontiguousarray(values).ravel())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, math.prod(rest.values())) if rest else flat
        if name in description["columns"]:
            shapes[name] = list(rest.values())
    about = {"superpos": json.dumps(result.attrs), "shapes": json.dumps(shapes), "labels": json.dumps(description)}
    pq.write_table(pa.table(columns).replace_schema_metadata(about), path)  # lists are flat


def _safetensors(result: SweepResult, path: Path) -> None:
    from safetensors.numpy import save_file  # pyright: ignore[reportMissingImports]

    dataset, grid = storable.checked(result.dataset, unicode=True), result.sizes
    curves = [n for n in map(str, dataset.variables) if n.endswith(("_history", "_snapshots"))]
    dataset = dataset.drop_vars(curves)
    per_cell = [name for name in parameters(dataset) if dataset[name].dtype.kind != "U"]
    description = export_reader.labels(dataset, grid, per_cell)
    arrays = {}
    for name in description["columns"]:
        if name == "__metadata__":
            raise ConfigError(
                f"variable {name} cannot be written as .safetensors, which means something else by the name."
            )
        values = np.require(
            dataset.variables[name].transpose(*grid, ..., missing_dims="ignore").values, requirements="C"
        )
        # Words are the numbers of their characters, on an axis of their own.
        words = values.dtype.kind == "U"
        arrays[name] = values[..., None].view(np.uint32) if words else values
    axes = {
        a["name"]: description["values"][a["name"]][2]
        for a in result.attrs["grid"]["axes"]
        if a["name"] in description["values"]
    }
    about = {"superpos": json.dumps(result.attrs), "axes": json.dumps(axes), "labels": json.dumps(description)}
    save_file(arrays, path, metadata=about)
