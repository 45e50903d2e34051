"""Balanced parentheses by two layers: what counts, what sees a dip, ablated and patched.

    python figures/balanced_parentheses.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 3.12.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import balanced_parentheses as experiment
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
    path = results / f"balanced_parentheses{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path)
    table = sp.cached(path, experiment.measure, result)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table)
        return publish(figure, caption, claims, path=out / f"balanced_parentheses{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
