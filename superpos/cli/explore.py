"""`superpos explore`: a result as a page."""

from pathlib import Path
from typing import Annotated

import tyro

STARTS = 256  # of a landscape


def explore(
    result: Annotated[
        tyro.conf.Positional[Path], tyro.conf.arg(help="a result, such as superpos-demo/five_features.zarr")
    ],
    out: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], help="the page; RESULT.html in this folder if not given")
    ] = None,
    title: Annotated[str | None, tyro.conf.arg(help="what the page is called")] = None,
    n_inputs: Annotated[
        int | None, tyro.conf.arg(help="inputs that autoencoders and decompositions are judged on; 16,384 if not given")
    ] = None,
    landscape: Annotated[
        tuple[float, ...],
        tyro.conf.arg(help="densities at which to find all minima of a toy model's loss, such as 0.05 0.2"),
    ] = (),
    starts: Annotated[
        int | None, tyro.conf.arg(help="random starts of the landscape at each density; 256 if not given")
    ] = None,
    overwrite: Annotated[bool, tyro.conf.arg(help="replace a file that is no page")] = False,
) -> None:
    """Write one self-contained HTML page to explore a sweep in; it needs no network.

    Toy models, sparse autoencoders (crosscoders and transcoders, too), decompositions of weights, modular addition and
    repeated tokens (induction heads) have one each. With --landscape, which takes half a minute the first time and is kept
    beside the result, the page of toy models has the minima at the sweep's densities nearest to those given.
    """
    import os

    from superpos.errors import ConfigError
    from superpos.explorer import explore as write
    from superpos.explorer.assemble import free_page
    from superpos.sweeping import cached, open_result

    name = Path(os.path.abspath(result)).name.removesuffix(".zip").removesuffix(".zarr")
    models, page, table = open_result(result), out or Path(f"{name}.html"), None
    if starts is not None and not landscape:
        raise ConfigError("starts is for a landscape: give its densities, too, as in --landscape 0.05.")
    if landscape:
        from superpos.explorer.landscape_data import landscape_of

        free_page(page, overwrite=overwrite)  # before anything is computed
        table = cached(result, landscape_of, models, landscape, STARTS if starts is None else starts)
    path = write(models, page, title=title, n_inputs=n_inputs, landscape=table, overwrite=overwrite)
    print(f"page      {path} ({path.stat().st_size / 1e6:.2f} MB)")
