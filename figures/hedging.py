"""Hedging and absorption: too few latents mix a child into its parent's, too sparse ones let the child's speak for both.

    python figures/hedging.py [--full] [--quick] [--width column]

Chanin, Dulka and Garriga-Alonso 2025, "Feature Hedging: Correlated Features Break Narrow Sparse Autoencoders".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import hedging as experiment
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
    path = results / f"hedging{suffix}.zarr"
    alone = sp.sweep(*experiment.build_alone(size), store=results / f"hedging{suffix}_alone.zarr")
    balanced = sp.sweep(*experiment.build_balanced(size), store=results / f"hedging{suffix}_balanced.zarr")
    families = sp.sweep(*experiment.build_families(size), store=path)
    table = sp.cached(path, experiment.family_table, families, size.n_inputs)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(alone, balanced, table, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(alone, balanced, table, families, size)
        return publish(figure, caption, claims, path=out / f"hedging{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
