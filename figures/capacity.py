"""Capacity: how dimensions are shared out among features of different importance, as they get sparser.

    python figures/capacity.py [--full] [--quick] [--width column]

Scherlis et al. 2022, "Polysemanticity and Capacity in Neural Networks".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import capacity as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = results / f"capacity{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path)
    table = sp.cached(path, experiment.measure, result)
    price = sp.cached(path, experiment.priced, result.best("seed"), order=size.order)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(result, table, price, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, price)
        return publish(figure, caption, claims, path=out / f"capacity{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
