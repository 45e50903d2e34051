"""`superpos geometry`: what the models of a result learned."""

from pathlib import Path
from typing import Annotated

import tyro

from superpos.console import words_are_the_result


def geometry(
    result: Annotated[
        tyro.conf.Positional[Path], tyro.conf.arg(help="a result, such as superpos-demo/five_features.zarr")
    ],
    represented_above: Annotated[float, tyro.conf.arg(help="norm from which a feature counts as represented")] = 0.5,
    rows: Annotated[int, tyro.conf.arg(help="print at most this many rows")] = 200,
) -> None:
    """Name the geometry of every model in a result: the best seed's, and how many seeds found it."""
    words_are_the_result()
    from superpos import check
    from superpos.cli.report import print_shapes
    from superpos.sweeping import open_result

    check.in_range("represented_above", represented_above, at_least=0)
    check.integer("rows", rows, at_least=1)
    models = open_result(result)
    print(models)
    print_shapes(models, models.geometry(represented_above=represented_above), most=rows)
