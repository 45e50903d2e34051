"""`superpos pack` and `superpos export`: results for others."""

from pathlib import Path
from typing import Annotated

import tyro


def pack(
    result: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="a finished result")],
    out: Annotated[Path | None, tyro.conf.arg(help="the file; RESULT.zip if not given")] = None,
    overwrite: Annotated[bool, tyro.conf.arg(help="replace an earlier file")] = False,
) -> None:
    """Make one file of a result, to share. superpos opens it as it is, and so does any reader of Zarr."""
    import os

    from superpos.sweeping.store import export_writer

    named = Path(os.path.abspath(result))  # "." has no name
    print(f"packed    {export_writer.pack(result, out or named.with_name(f'{named.name}.zip'), overwrite=overwrite)}")


def export(
    result: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="a result")],
    out: Annotated[Path, tyro.conf.arg(help="ends in .nc, .parquet or .safetensors, or in .zarr for grid form")],
    overwrite: Annotated[bool, tyro.conf.arg(help="replace an earlier file")] = False,
) -> None:
    """Write a result as NetCDF, a table with one row per model, safetensors of parameters, or Zarr in grid form."""
    from superpos.sweeping import open_result
    from superpos.sweeping.store import export_writer

    print(f"exported  {export_writer.export(open_result(result), out, overwrite=overwrite)}")
