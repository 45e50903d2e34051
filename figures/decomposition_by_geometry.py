"""Parameters of toy models of three shapes taken apart: does it depend on the shape?

python figures/decomposition_by_geometry.py [--full] [--quick] [--width column]
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import decomposition_by_geometry as experiment
from superpos.experiments.decomposing import measure
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    toys = sp.sweep(*experiment.build_toys(size), store=results / f"decomposition_by_geometry_toys{suffix}.zarr")
    of = experiment.targets(toys)
    path = results / f"decomposition_by_geometry{suffix}.zarr"
    block = len(experiment.SHAPES) * len(size.coefficients)
    result = sp.sweep(*experiment.build(size, of), store=path, block_size=block)
    table = sp.cached(path, measure, result, size.n_inputs)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, of, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, of)
        return publish(figure, caption, claims, path=out / f"decomposition_by_geometry{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
