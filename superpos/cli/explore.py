"""`superpos explore`: a result as a page."""

from pathlib import Path
from typing import Annotated

import tyro


def explore(
    result: Annotated[
        tyro.conf.Positional[Path], tyro.conf.arg(help="a result, such as superpos-demo/five_features.zarr")
    ],
    out: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], help="the page; RESULT.html in this folder if not given")
    ] = None,
    title: Annotated[str | None, tyro.conf.arg(help="what the page is called")] = None,
    n_inputs: Annotated[
        int | None, tyro.conf.arg(help="inputs that sparse autoencoders are judged on; 16,384 if not given")
    ] = None,
    overwrite: Annotated[bool, tyro.conf.arg(help="replace a file that is no page")] = False,
) -> None:
    """Write one self-contained HTML page to explore a sweep in; it needs no network.

    Toy models, sparse autoencoders, modular addition and repeated tokens (induction heads) have one each.
    """
    import os

    from superpos.explorer import explore as write
    from superpos.sweeping import open_result

    name = Path(os.path.abspath(result)).name.removesuffix(".zip").removesuffix(".zarr")
    path = write(open_result(result), out or Path(f"{name}.html"), title=title, n_inputs=n_inputs, overwrite=overwrite)
    print(f"page      {path} ({path.stat().st_size / 1e6:.2f} MB)")
