"""Correlated features lie orthogonally, or collapse into principal components; anticorrelated ones lie oppositely.

    python figures/correlated_features.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Correlated and Anticorrelated Features".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import correlated_features as experiment
from superpos.experiments.correlated_features.drawing import draw
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
    sweeps = {
        name: sp.sweep(
            task,
            config,
            grid,
            store=results / f"correlated_{name}{suffix}.zarr",
            block_size=grid.sizes["feature_probability"],
        )
        for name, (task, config, grid) in experiment.build(size).items()
    }
    followed = None
    if not quick:
        path = results / f"correlated_three{suffix}.zarr"
        followed = sp.cached(path, experiment.follow_collapse, sweeps["three"])
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(sweeps, followed, claims)
    with sp.plot.style():
        figure, caption = draw(sweeps, experiment.collapse(sweeps["three"]), experiment.DRAWN_DENSITIES)
        return publish(figure, caption, claims, path=out / f"correlated_features{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
