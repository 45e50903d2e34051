"""The local learning coefficient against known values, and through the stages of training.

    python figures/learning_coefficient.py [--full] [--quick] [--width column]

Lau et al. 2023, "The Local Learning Coefficient"; Chen et al. 2023, "Dynamical versus Bayesian Phase Transitions".
"""

from pathlib import Path

import xarray as xr

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import learning_coefficient as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweep, or train it, sample around its snapshots and around known minima, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    planned = experiment.build(size)
    result = sp.sweep(*planned, store=results / f"learning_coefficient{suffix}.zarr", block_size=2)
    table, final = experiment.way(result, size), experiment.ends(result, size)
    simple, polygons = (
        experiment.calibrate(size, experiment.known_cases()),
        experiment.calibrate_polygons(size, planned[0]),
    )
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(simple, polygons, table, final, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(xr.concat([simple, polygons], "case"), table, result)
        return publish(figure, caption, claims, path=out / f"learning_coefficient{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
