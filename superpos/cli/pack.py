"""`superpos pack`: a result in one file."""

from pathlib import Path
from typing import Annotated

import tyro


def pack(
    result: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="a finished result")],
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], help="the file; RESULT.zip if not given")] = None,
    overwrite: Annotated[bool, tyro.conf.arg(help="replace an earlier file")] = False,
) -> None:
    """Make one file of a result, to share. superpos opens it as it is, and so does any reader of Zarr."""
    import os

    from superpos.sweeping.store import export_writer

    named = Path(os.path.abspath(result))  # "." has no name
    print(f"packed    {export_writer.pack(result, out or named.with_name(f'{named.name}.zip'), overwrite=overwrite)}")
