"""Absolute value with enough neurons and with too few: loss against the naive baseline, and what neurons read.

    python figures/absolute_value.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Computation in Superposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import absolute_value as experiment
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
    path = results / f"absolute_value{suffix}_small.zarr"
    few = sp.sweep(*experiment.build_few(size), store=path, block_size=size.few_seeds)
    path = results / f"absolute_value{suffix}.zarr"
    many = sp.sweep(*experiment.build(size), store=path, block_size=len(size.densities))
    table = experiment.by_density(experiment.best_by_density(many))
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(few, many, table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(few, many, table)
        return publish(figure, caption, claims, path=out / f"absolute_value{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
