"""The paper's opening figure: feature directions by density, and how many seeds find each geometry.

    python figures/five_features.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Demonstrating Superposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import five_features as experiment
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
    path = results / f"five_features{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path, block_size=experiment.BLOCK_SIZE)
    geometry = sp.cached(path, sp.SweepResult.geometry, result)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(result, geometry, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, geometry)
        return publish(figure, caption, claims, path=out / f"five_features{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
