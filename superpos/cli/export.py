"""`superpos export`: a result in the formats of others."""

from pathlib import Path
from typing import Annotated

import tyro


def export(
    result: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="a result")],
    out: Annotated[
        Path, tyro.conf.arg(aliases=["-o"], help="ends in .nc, .parquet or .safetensors, or in .zarr for grid form")
    ],
    overwrite: Annotated[bool, tyro.conf.arg(help="replace an earlier file")] = False,
) -> None:
    """Write a result as NetCDF, a table with one row per model, safetensors of parameters, or Zarr in grid form."""
    from superpos.sweeping import open_result
    from superpos.sweeping.store import export_writer

    print(f"exported  {export_writer.export(open_result(result), out, overwrite=overwrite)}")
