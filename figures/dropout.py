"""Dropout of the hidden layer creates a privileged basis: linear models spread over it, ReLU models align with it.

    python figures/dropout.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 4.1.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import dropout as experiment
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
    paths = [results / f"dropout{suffix}.zarr", results / f"dropout{suffix}_linear.zarr"]
    relu = sp.sweep(*experiment.build(size), store=paths[0], block_size=len(size.rates) + 1)
    linear = sp.sweep(*experiment.build_linear(size), store=paths[1], block_size=len(size.rates) + 1)
    tables = sp.cached(paths[0], experiment.measure, relu), sp.cached(paths[1], experiment.measure, linear)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(relu, linear, tables, claims, samples=size.samples)
    with sp.plot.style():
        figure, caption = experiment.draw(relu, linear, tables)
        return publish(figure, caption, claims, path=out / f"dropout{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
