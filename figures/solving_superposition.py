"""An L1 penalty on the hidden layer removes superposition, at a price.

    python figures/solving_superposition.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Approaches to Solving Superposition".
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.analysis.regimes import regimes
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import solving_superposition as experiment
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
    path = results / f"solving_superposition{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path)
    best_seed = experiment.penalised_loss(result).fillna(np.inf).argmin("seed")
    best = result.dataset.isel(seed=best_seed)
    every = sp.cached(path, sp.SweepResult.geometry, result)
    geometry = every.isel(seed=best_seed)
    regime, alignment = regimes(geometry), experiment.alignment(best["W"], geometry["represented"])
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(best["loss"], geometry, regime, alignment, result.attrs["task"]["n_hidden"], claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, best, geometry, regime, every)
        return publish(figure, caption, claims, path=out / f"solving_superposition{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
