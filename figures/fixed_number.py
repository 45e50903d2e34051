"""A fixed number of active features in every input: what counts is how many others are there beside an active one.

    python figures/fixed_number.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 4.16.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import fixed_number as experiment
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
    paths = [results / f"fixed_number{suffix}.zarr", results / f"fixed_number{suffix}_independent.zarr"]
    fixed = sp.sweep(*experiment.build(size), store=paths[0], block_size=len(size.numbers))
    independent = sp.sweep(*experiment.build_independent(size), store=paths[1], block_size=len(size.densities))
    table = experiment.measure(fixed, independent)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(table, fixed.attrs)
        return publish(figure, caption, claims, path=out / f"fixed_number{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
